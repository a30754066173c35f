/** What the guest does from its first file system on: an engine's root under a layer of its own, then the tests. */
import { guestOut } from './outcome.ts'

export interface GuestScript {
  /** Paths that are the same on the machine and in the guest: the project, the cache, and the kit in the cache. */
  readonly checkout: string
  readonly cache: string
  readonly kit: string
  /** Loaded before the tests. What else the kernel needs it loads by itself. */
  readonly modules: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Run in the checkout. Its output becomes the file `report`, its exit status the file `status`. */
  readonly command: readonly string[]
  /** The guest ends itself after this time. */
  readonly timeoutSeconds: number
}

/** Tags of the directories that the machine shares. */
export const shares = { root: 'root', checkout: 'checkout', cache: 'cache', out: 'out' } as const

const modprobe = '/usr/local/sbin/modprobe'

/**
 * Run by the first file system's shell. Why each part is there:
 * - the checkout has a layer of its own: Node writes compiled sources into it;
 * - the engine's data are in memory: overlayfs, which it uses, does not stand on a layer of overlayfs;
 * - modules come from the kit, through a chroot, since the engine's root has no modprobe.
 */
export function initText({ checkout, cache, kit }: GuestScript): string {
  const [project, kept, tools] = [`/new${quoted(checkout)}`, `/new${quoted(cache)}`, `/new${quoted(kit)}`]
  return `set -e
trap 'echo "weft: no way to the tests"; poweroff -f' EXIT
share() {
  mkdir -p "$2"
  mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,ro,cache=loose "$1" "$2"
}
layer() {
  mkdir -p "/upper/$1" "/upper/$1.work" "$2"
  mount -t overlay -o "lowerdir=/lower/$1,upperdir=/upper/$1,workdir=/upper/$1.work" "$1" "$2"
}
mount -t tmpfs -o mode=755 layers /upper
share ${shares.root} /lower/root
layer root /new
for dir in dev proc sys; do mount --move /$dir /new/$dir; done
mount -t tmpfs -o mode=755 run /new/run
mkdir -p /new/run/lock /new/run/netns /new/run/docker/plugins /new${guestOut}
for dir in tmp var/lib/docker var/lib/weft; do
  mkdir -p /new/$dir
  mount -t tmpfs $dir /new/$dir
done
mount --move /out /new${guestOut}
share ${shares.checkout} /lower/checkout
layer checkout ${project}
share ${shares.cache} ${kept}
for dir in proc sys; do mount --bind /new/$dir ${tools}/$dir; done
mount -t cgroup2 cgroup /new/sys/fs/cgroup
for name in $(cat /new/sys/fs/cgroup/cgroup.controllers); do
  echo +$name >/new/sys/fs/cgroup/cgroup.subtree_control
done
mkdir -p /new/usr/local/sbin
cat >/new${modprobe} <<'END'
#!/bin/sh
exec chroot ${quoted(kit)} /sbin/modprobe "$@"
END
chmod 755 /new${modprobe}
echo ${modprobe} >/new/proc/sys/kernel/modprobe
exec switch_root /new /bin/bash ${guestOut}/start
`
}

/** The guest's first process: it ends the machine, whatever becomes of the tests. */
export function startText({ checkout, modules, env, command, timeoutSeconds }: GuestScript): string {
  const exports = Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}`)
  return `export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
${exports.join('\n')}
off() { echo o >/proc/sysrq-trigger; }
(sleep ${timeoutSeconds}; echo 'weft: out of time' >/dev/console; off) &
exec 2>/dev/console
mount --make-rshared /
hostname guest
ip link set lo up
modprobe -a ${modules.map(quoted).join(' ')}
uname -r >${guestOut}/up
cd ${quoted(checkout)}
${command.map(quoted).join(' ')} >${guestOut}/report 2>&1
echo $? >${guestOut}/status
off
sleep 60
`
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
