/**
 * Engine roots: a directory tree per engine version, kept in a cache, in which the lab runs a real Docker Engine.
 * `scripts/engines [VERSION...]` brings them all, or those named; nothing is installed on the machine.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { architecture, extract, fetchPackages, unpack } from './debian.ts'
import { imageRecipe, packImage } from './image.ts'

const exec = promisify(execFile)

/** Every engine the lab knows, and the Debian suite that packages it. A new engine is one line here. */
export const engines = { '20.10': 'bookworm', '26.1': 'trixie', '28.5': 'forky' } as const
export type Engine = keyof typeof engines

/** Called with one line of progress at a time. */
export type Report = (line: string) => void

/** What a lab host needs beside the engine: the tools of the tests, the libraries of Node, and a shell to live in. */
const tools =
  'bash busybox-static ca-certificates conntrack coreutils curl dash ethtool findutils gawk grep hostname iperf3 iproute2 ' +
  'iptables iputils-ping libc-bin libstdc++6 mount nftables procps sed socat tcpdump util-linux'

function packagesOf(suite: string): readonly string[] {
  // Up to bookworm the client is part of docker.io.
  return [...tools.split(' '), 'docker.io', ...(suite === 'bookworm' ? [] : ['docker-cli'])]
}

/** Where roots and images are kept: `$WEFT_CACHE`, else /var/cache/weft. */
export function cacheDirectory(): string {
  return process.env['WEFT_CACHE'] ?? '/var/cache/weft'
}

/** The engine's name if the lab knows it. Errors: lists the known ones. */
export function engineNamed(name: string): Engine {
  const known = Object.keys(engines) as Engine[]
  const found = known.find(engine => engine === name)
  if (!found) throw new Error(`engine "${name}" is not known: choose from ${known.join(', ')}`)
  return found
}

/**
 * The engine's root directory, brought into the cache first when it is missing or was made by another recipe.
 * Errors: no root rights, no mirror, or a suite that has moved on to another engine.
 */
export async function engineRoot(engine: Engine, report: Report = () => undefined): Promise<string> {
  const suite = engines[engine]
  const arch = await architecture()
  const root = join(cacheDirectory(), 'roots', `${engine}-${arch}`)
  const recipe = `4 ${suite} ${packagesOf(suite).join(' ')}\n`
  if ((await readText(join(root, 'recipe'))) === recipe) return root

  const roots = join(cacheDirectory(), 'roots')
  await mkdir(roots, { recursive: true })
  await sweep(roots)
  const work = await mkdtemp(join(roots, `.new-${process.pid}-`))
  try {
    const started = Date.now()
    report(`engine ${engine}: fetching packages of Debian ${suite}`)
    const { debs, bytes } = await fetchPackages(await subdirectory(work, 'apt'), suite, packagesOf(suite))
    report(
      `engine ${engine}: ${debs.length} packages, ${megabytes(bytes)} MB, in ${secondsSince(started)} s; unpacking`,
    )
    const fresh = join(work, 'root')
    await unpack(fresh, debs)
    await confirmVersion(engine, fresh)
    await writeFile(join(fresh, 'recipe'), recipe)
    // A directory is not replaced by rename: the old one steps aside, and is removed with the work directory.
    await rename(root, join(work, 'old')).catch((cause: unknown) => {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
    })
    await rename(fresh, root)
    report(`engine ${engine}: ready after ${secondsSince(started)} s in ${root}`)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  return root
}

/** The test image as a tar for `docker import`, made once out of the oldest engine's root. */
export async function imageTar(report: Report = () => undefined): Promise<string> {
  const root = await engineRoot('20.10', report)
  const path = join(cacheDirectory(), `image-${imageRecipe}-${await architecture()}.tar`)
  await packImage(root, path, report)
  return path
}

/** Real firewalls for a host of the lab, and what they are run with. */
const firewalls = 'dbus firewalld iptables nftables python3 ufw'

/**
 * firewalld and ufw of the engine's suite, with all they depend on, as a tar to be unpacked over the engine's root in a
 * host that wants them. Made once.
 */
export async function firewallsTar(engine: Engine, report: Report = () => undefined): Promise<string> {
  const suite = engines[engine]
  const recipe = createHash('sha256').update(`1 ${suite} ${firewalls}`).digest('hex').slice(0, 8)
  const path = join(cacheDirectory(), `firewalls-${suite}-${recipe}-${await architecture()}.tar`)
  if (existsSync(path)) return path
  const work = await mkdtemp(join(cacheDirectory(), '.firewalls-'))
  try {
    report(`engine ${engine}: fetching firewalld and ufw of Debian ${suite}`)
    const { debs } = await fetchPackages(await subdirectory(work, 'apt'), suite, firewalls.split(' '))
    const tree = join(work, 'tree')
    await extract(tree, debs)
    // The root has its own links at the top.
    await exec('tar', ['-C', tree, '-cf', join(work, 'tar'), 'etc', 'usr'])
    await rename(join(work, 'tar'), path)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  return path
}

async function confirmVersion(engine: Engine, root: string): Promise<void> {
  const { stdout } = await exec('chroot', [root, 'dockerd', '--version'])
  if (stdout.includes(`version ${engine}.`)) return
  const hint = 'set WEFT_DEBIAN_MIRROR to a snapshot of the archive that still has it'
  throw new Error(`Debian ${engines[engine]} has moved on, wanted engine ${engine}: ${stdout.trim()}; ${hint}`)
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
    return undefined
  }
}

/** Removes the half-made roots of processes that were killed: hundreds of megabytes each. */
async function sweep(roots: string): Promise<void> {
  for (const name of await readdir(roots)) {
    const pid = /^\.new-(\d+)-/.exec(name)?.[1]
    if (pid && !existsSync(`/proc/${pid}`)) await rm(join(roots, name), { recursive: true, force: true })
  }
}

async function subdirectory(parent: string, name: string): Promise<string> {
  const path = join(parent, name)
  await mkdir(path)
  return path
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0)
}

function secondsSince(startedMs: number): string {
  return ((Date.now() - startedMs) / 1000).toFixed(1)
}

if (import.meta.main) {
  const named = process.argv.slice(2)
  const wanted = named.length > 0 ? named.map(engineNamed) : (Object.keys(engines) as Engine[])
  const report: Report = line => {
    console.log(line)
  }
  // The image is made of the oldest engine's root, so that one comes first; two builds of one root would race.
  const others = wanted.filter(engine => engine !== '20.10').map(engine => engineRoot(engine, report))
  for (const outcome of await Promise.allSettled([imageTar(report), ...others])) {
    if (outcome.status === 'fulfilled') continue
    console.error(outcome.reason instanceof Error ? outcome.reason.message : outcome.reason)
    process.exitCode = 1
  }
}
