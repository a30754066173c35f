/**
 * What the guest is made of: QEMU and Debian 12's kernel with its modules, unpacked into the cache like the engines'
 * roots. `scripts/node scripts/guest.ts` brings it; nothing is installed on the machine.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { architecture, extract, fetchPackages } from './debian.ts'
import { cacheDirectory, type Report } from './engines.ts'

const exec = promisify(execFile)

/** Paths on the machine. */
export interface GuestKit {
  /** Directory with everything below; the kernel's modules are in its lib/modules. */
  readonly root: string
  readonly kernel: string
  readonly initrd: string
  /** Command line of QEMU up to its options, and its environment. */
  readonly qemu: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

const suite = 'bookworm'
const packages = ['busybox-static', 'kmod', 'linux-image-amd64', 'qemu-system-x86']
/** Modules for hardware that the guest has not: 200 MB. */
const unneeded = ['sound', 'drivers/gpu', 'drivers/infiniband', 'drivers/media', 'drivers/net/wireless', 'drivers/scsi']
/** To reach the machine's files; the rest comes from there. */
const early = ['virtio_pci', '9pnet_virtio', '9p', 'overlay']

/** `out` is the directory that the guest's owner prepared: `init` in it does all the rest. */
const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod $module; done
if grep -q weft.probe /proc/cmdline; then
  echo weft: this accelerator boots
  poweroff -f
fi
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 out /out
exec sh /out/init
`

/** Makes the kit unless it is in the cache. Errors: no root rights, no mirror, another machine than x86-64. */
export async function guestKit(report: Report = () => undefined): Promise<GuestKit> {
  const arch = await architecture()
  if (arch !== 'amd64') throw new Error(`the guest is an x86-64 machine, and this one is ${arch}`)
  const roots = join(cacheDirectory(), 'roots')
  const root = join(roots, `guest-${arch}`)
  const recipe = ['1', suite, ...packages, ...unneeded, ...early, init].join('\n')
  if (existsSync(join(root, 'recipe')) && (await readFile(join(root, 'recipe'), 'utf8')) === recipe) return kitIn(root)

  await mkdir(roots, { recursive: true })
  const work = await mkdtemp(join(roots, `.new-${process.pid}-`))
  try {
    const started = Date.now()
    const took = (): string => `${((Date.now() - started) / 1000).toFixed(1)} s`
    report(`guest: fetching QEMU and the kernel of Debian ${suite}`)
    await mkdir(join(work, 'apt'))
    const { debs, bytes } = await fetchPackages(join(work, 'apt'), suite, packages)
    report(`guest: ${debs.length} packages, ${(bytes / 1e6).toFixed(0)} MB, in ${took()}; unpacking`)
    const fresh = join(work, 'root')
    await extract(fresh, debs)
    await prepareModules(fresh)
    await writeFile(join(fresh, 'recipe'), recipe)
    await rm(root, { recursive: true, force: true })
    await rename(fresh, root)
    report(`guest: ready after ${took()} in ${root}`)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  return kitIn(root)
}

async function kitIn(root: string): Promise<GuestKit> {
  const libraries = join(root, 'usr/lib/x86_64-linux-gnu')
  const firmware = ['qemu', 'seabios'].flatMap(name => ['-L', join(root, 'usr/share', name)])
  return {
    root,
    kernel: join(root, 'boot', `vmlinuz-${await releaseIn(root)}`),
    initrd: join(root, 'boot/initrd'),
    // Its own loader and libraries, without chroot: it serves the machine's files to the guest.
    qemu: [
      ...[join(root, 'lib64/ld-linux-x86-64.so.2'), '--library-path', libraries],
      ...[join(root, 'usr/bin/qemu-system-x86_64'), ...firmware],
    ],
    env: { QEMU_MODULE_DIR: join(libraries, 'qemu') },
  }
}

/** E.g. `6.1.0-50-amd64`. */
async function releaseIn(root: string): Promise<string> {
  const [release] = await readdir(join(root, 'lib/modules'))
  if (release === undefined) throw new Error(`${root} has no kernel`)
  return release
}

/** Their index, which the package's script would have made, and the first root file system. */
async function prepareModules(root: string): Promise<void> {
  const release = await releaseIn(root)
  for (const path of unneeded) await rm(join(root, 'lib/modules', release, 'kernel', path), { recursive: true })
  await exec('chroot', [root, 'depmod', release])
  const listing = ['modprobe', '-S', release, '--show-depends', '-a', ...early]
  const { stdout } = await exec('chroot', [root, ...listing])
  const files = new Set([...stdout.matchAll(/^insmod (\S+)/gm)].map(([, path = '']) => path))

  // For modprobe in a chroot.
  for (const name of ['proc', 'sys']) await mkdir(join(root, name), { recursive: true })
  const tree = join(root, 'initrd')
  for (const name of ['bin', 'dev', 'lower', 'modules', 'new', 'out', 'proc', 'sys', 'upper']) {
    await mkdir(join(tree, name), { recursive: true })
  }
  await copyFile(join(root, 'usr/bin/busybox'), join(tree, 'bin/busybox'))
  for (const [index, path] of [...files].entries()) {
    await copyFile(join(root, path), join(tree, 'modules', `${String(index).padStart(2, '0')}-${basename(path)}`))
  }
  await writeFile(join(tree, 'init'), init)
  await chmod(join(tree, 'init'), 0o755)
  await exec('chroot', [
    root,
    'busybox',
    'sh',
    '-c',
    'cd initrd && busybox find . | busybox cpio -o -H newc >../boot/initrd',
  ])
  await rm(tree, { recursive: true })
}

if (import.meta.main) {
  await guestKit(line => {
    console.log(line)
  })
}
