/**
 * Spec files: how an engine finds plugins whose sockets are not in the one directory where it looks for sockets.
 * Source: pkg/plugins/discovery.go of the engine. A socket in that directory is found first.
 */
import { join } from 'node:path'

/** Fixed in the engine, whatever its own directories are. */
export const socketDirectory = '/run/docker/plugins'
export const specDirectory = '/etc/docker/plugins'

export interface SpecFile {
  readonly path: string
  readonly text: string
}

/** One for each socket in `pluginDir`; none where the engine looks by itself. `drivers`: `bridge`, ... */
export function specFiles(pluginDir: string, drivers: readonly string[]): readonly SpecFile[] {
  if (pluginDir === socketDirectory) return []
  return [...drivers, 'ipam'].map(name => ({
    path: join(specDirectory, `weft-${name}.spec`),
    text: `unix://${join(pluginDir, `weft-${name}.sock`).split('/').map(encodeURIComponent).join('/')}\n`,
  }))
}

/** Of a file's name in the spec directory. */
export function isSpecOfWeft(name: string): boolean {
  return name.startsWith('weft-') && name.endsWith('.spec')
}
