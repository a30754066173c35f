/**
 * A root directory made of Debian packages: fetched and verified by apt, unpacked by dpkg-deb, installed nowhere. No
 * maintainer script runs and no service starts, so the machine stays as it was; what the scripts would have set up
 * is done by hand in `finish`. Takes seconds where debootstrap takes minutes.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const exec = promisify(execFile)
const output = 64 << 20

/** The debs of one suite that were fetched: how many, and their size in bytes. */
export interface Fetched {
  readonly debs: readonly string[]
  readonly bytes: number
}

const keyrings = ['/usr/share/keyrings/debian-archive-keyring.gpg', '/usr/share/keyrings/debian-archive-keyring.pgp']

/** What Debian calls the machines that the lab runs on. */
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

/** The machine's Debian architecture, e.g. `amd64`. No program is asked: the guest has no dpkg. */
export async function architecture(): Promise<string> {
  const name = architectures[process.arch]
  if (name === undefined) throw new Error(`no engine is brought for ${process.arch}: only for x64 and arm64`)
  return name
}

/**
 * Fetches packages and all they depend on into `directory`, which must exist and be empty. apt works on a state of its
 * own there, with nothing installed, so that the answer is the whole closure and the machine's lists are not touched.
 */
export async function fetchPackages(directory: string, suite: string, packages: readonly string[]): Promise<Fetched> {
  const keyring = keyrings.find(path => existsSync(path))
  if (!keyring) throw new Error(`none of ${keyrings.join(', ')} exists: install debian-archive-keyring`)
  const mirror = process.env['WEFT_DEBIAN_MIRROR'] ?? 'http://deb.debian.org/debian'
  for (const path of ['lists/partial', 'cache/archives/partial', 'etc']) {
    await mkdir(join(directory, path), { recursive: true })
  }
  await writeFile(join(directory, 'status'), '')
  await writeFile(join(directory, 'sources.list'), `deb [signed-by=${keyring}] ${mirror} ${suite} main\n`)
  // How this machine reaches a mirror (proxy, certificates, time-outs) is its own business: kept. The rest is ours.
  const { stdout: machine } = await exec('apt-config', ['dump'], { maxBuffer: output })
  const config = [
    ...machine.split('\n').filter(line => line.startsWith('Acquire::')),
    `Dir::State "${directory}";`,
    `Dir::State::status "${directory}/status";`,
    `Dir::Cache "${directory}/cache";`,
    `Dir::Etc "${directory}/etc";`,
    `Dir::Etc::sourcelist "${directory}/sources.list";`,
    ...['main', 'parts', 'sourceparts', 'trusted', 'trustedparts', 'preferences', 'preferencesparts'].map(
      key => `Dir::Etc::${key} "/dev/null";`,
    ),
    `Dir::Log "${directory}/log";`,
    'APT::Install-Recommends "false";',
    'APT::Sandbox::User "root";',
    'Acquire::Languages "none";',
    '',
  ]
  await writeFile(join(directory, 'apt.conf'), config.join('\n'))
  const env = {
    ...process.env,
    APT_CONFIG: join(directory, 'apt.conf'),
    DEBIAN_FRONTEND: 'noninteractive',
    LC_ALL: 'C',
  }
  await exec('apt-get', ['-qq', 'update'], { env, maxBuffer: output })
  await exec('apt-get', ['-qq', '-y', '--download-only', 'install', ...packages], { env, maxBuffer: output })

  const archives = join(directory, 'cache/archives')
  const debs = (await readdir(archives)).filter(name => name.endsWith('.deb')).map(name => join(archives, name))
  const sizes = await Promise.all(debs.map(async path => (await stat(path)).size))
  return { debs, bytes: sizes.reduce((sum, size) => sum + size, 0) }
}

/** Unpacks debs into a new, /usr-merged root at `root`, and sets it up. */
export async function unpack(root: string, debs: readonly string[]): Promise<void> {
  await extract(root, debs)
  await finish(root)
}

/** Only unpacks them. Documentation stays packed. */
export async function extract(root: string, debs: readonly string[]): Promise<void> {
  await mkdir(join(root, 'usr'), { recursive: true })
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    await mkdir(join(root, 'usr', name))
    await symlink(`usr/${name}`, join(root, name))
  }
  const script = `set -eo pipefail
    root=$1; shift
    for deb; do
      dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink \
        --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale --exclude=./usr/share/info
    done`
  await exec('bash', ['-c', script, 'unpack', root, ...debs], { maxBuffer: output })
}

/** Users that programs of the root switch to, and their groups of the same number. */
const users: readonly (readonly [name: string, id: number])[] = [
  ['root', 0],
  ['tcpdump', 989],
  ['nobody', 65534],
]

/** What the packages' own scripts would have done, as far as an engine, its tools and Node need it. */
async function finish(root: string): Promise<void> {
  for (const path of ['dev', 'proc', 'sys', 'run', 'root', 'tmp', 'var/lib/docker', 'var/tmp', 'etc/docker']) {
    await mkdir(join(root, path), { recursive: true })
  }
  const links: [path: string, target: string][] = [
    ['var/run', '../run'],
    ['var/lock', '../run/lock'],
    ['usr/bin/awk', 'gawk'],
  ]
  for (const tool of ['iptables', 'ip6tables']) {
    for (const part of ['', '-save', '-restore']) links.push([`usr/sbin/${tool}${part}`, `${tool}-nft${part}`])
  }
  for (const [path, target] of links) {
    await rm(join(root, path), { recursive: true, force: true })
    await symlink(target, join(root, path))
  }
  const files: [path: string, text: string][] = [
    ['etc/passwd', users.map(([name, id]) => `${name}:x:${id}:${id}::/root:/bin/bash\n`).join('')],
    ['etc/group', [...users, ['tty', 5], ['docker', 990]].map(([name, id]) => `${name}:x:${id}:\n`).join('')],
    ['etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n'],
    ['etc/hosts', '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n'],
    ['etc/resolv.conf', ''],
  ]
  for (const [path, text] of files) await writeFile(join(root, path), text)
}
