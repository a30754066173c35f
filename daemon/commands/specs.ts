import { mkdir, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { drivers } from '../../drivers/registry.ts'
import { isSpecOfWeft, specDirectory, specFiles, type SpecFile } from '../spec.ts'
import type { CommandOptions } from './command.ts'
import { locate } from './locate.ts'
import { inside, type Machine } from './machine.ts'
import { tolerating } from './tolerate.ts'

/** For the sockets of the service, which reads its settings without our variables and flags. */
export function specsFor({ config, root }: CommandOptions): readonly SpecFile[] {
  const settings = locate({ ...(config !== undefined && { config }), ...(root !== undefined && { root }) }, {})
  // Names were not read: empty is `all`.
  return specFiles(settings.pluginDir, settings.drivers.length > 0 ? settings.drivers : Object.keys(drivers))
}

/** Writes these spec files, and removes all others of weft. May be repeated. */
export async function placeSpecs(machine: Machine, files: readonly SpecFile[]): Promise<void> {
  const wanted = files.map(({ path }) => basename(path))
  const there = (await tolerating(['ENOENT'], () => readdir(inside(machine, specDirectory)))) ?? []
  const unwanted = there.filter(name => isSpecOfWeft(name) && !wanted.includes(name))
  for (const name of unwanted) {
    await rm(inside(machine, join(specDirectory, name)))
    machine.say(`removed ${join(specDirectory, name)}`)
  }
  if (files.length > 0) await mkdir(inside(machine, specDirectory), { recursive: true })
  else if (unwanted.length > 0) await tolerating(['ENOTEMPTY'], () => rmdir(inside(machine, specDirectory)))
  for (const { path, text } of files) {
    if ((await tolerating(['ENOENT'], () => readFile(inside(machine, path), 'utf8'))) === text) continue
    await writeFile(inside(machine, path), text, { mode: 0o644 })
    machine.say(`wrote ${path}`)
  }
}
