/**
 * A host of the lab: network, mount, UTS, IPC and PID namespaces whose root is an engine root (read-only) under a
 * tmpfs. Everything in the host, tools and daemons alike, runs in that root. It hangs on its first process: that one
 * ends when the test process ends in whatever way, and the kernel then removes all the rest.
 */
import { spawn } from 'node:child_process'
import { childrenOf, signalTo } from './process.ts'

export interface Namespace {
  /** The host's first process, as the machine numbers it: for nsenter and /proc/<pid>/root. */
  readonly pid: number
  /** Kills everything in it; settles when the kernel has let go of the last process. */
  end(): Promise<void>
}

export interface NamespaceOptions {
  readonly name: string
  /** An empty directory of the machine; the host's writable layer is mounted over it, seen by the host only. */
  readonly mount: string
  /** Engine root: the lower, read-only layer. */
  readonly lower: string
  /** Directory for what outlives a reboot (`docker`, `weft`); `undefined` keeps that in memory, too. */
  readonly data: string | undefined
  /** Visible inside, read-only, at the same path. */
  readonly checkout: string
  readonly env: Readonly<Record<string, string>>
  /** Lives on when the test process ends; then `pid` must be killed by hand. */
  readonly keep: boolean
}

/**
 * Runs with the machine's tools until pivot_root, then with the root's own. Why each part is there:
 * - pivot_root, not chroot: with chroot runc would put a container's binds at paths of the machine.
 * - /proc/sys outside `net` is the machine's own: read-only, since the engine would raise key quotas there.
 * - an own /dev: no block device of the machine; a devpts of its own for `docker run -t`.
 * - shared mounts, as on a real host: sandbox keys that the engine binds below /run must be seen by everyone.
 * - an own boot id: a test can reboot a host.
 * - bash, waiting in `read`, as first process: it reaps orphans (a zombie containerd would stop the next engine from
 *   starting), and it ends when the other end of its standard input is gone.
 */
const script = `
set -e
name=$1 mount=$2 lower=$3 checkout=$4 data=$5 keep=$6
mount -t tmpfs -o mode=755 lab "$mount"
mkdir "$mount/upper" "$mount/work" "$mount/root"
mount -t overlay -o "lowerdir=$lower,upperdir=$mount/upper,workdir=$mount/work" lab "$mount/root"
cd "$mount/root"
mount -t proc proc proc
cat proc/sys/kernel/random/uuid >etc/boot_id
tr -d - <etc/boot_id >etc/machine-id
mount --bind etc/boot_id proc/sys/kernel/random/boot_id
for part in proc/sys/* proc/sysrq-trigger; do
  if [ "$part" = proc/sys/net ] || [ ! -e "$part" ]; then continue; fi
  mount --rbind "$part" "$part"
  mount -o remount,bind,ro "$part"
done
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
mkdir dev/net dev/pts dev/shm dev/mqueue
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
mknod -m 600 dev/net/tun c 10 200
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t mqueue mqueue dev/mqueue
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr
mount -t tmpfs -o mode=755 run run
mkdir -p run/lock run/netns run/docker/plugins
mkdir -p ".$checkout"
mount --bind "$checkout" ".$checkout"
mount -o remount,bind,ro ".$checkout"
for part in docker weft; do
  mkdir -p "var/lib/$part"
  if [ -n "$data" ]; then mount --bind "$data/$part" "var/lib/$part"; else mount -t tmpfs "$part" "var/lib/$part"; fi
done
echo "$name" >etc/hostname
echo "127.0.1.1 $name" >>etc/hosts
echo 'nameserver 192.0.2.1' >etc/resolv.conf
hostname "$name"
mkdir .old
pivot_root . .old
cd /
umount -l /.old
rmdir /.old
mount --make-rshared /
ip link set lo up
if [ -n "$keep" ]; then exec bash -c 'echo ready; while :; do sleep 3600 & wait $!; done'; fi
exec bash -c 'echo ready; read -r _'
`

const flags = ['-n', '-m', '-u', '-i', '-p', '-f', '--kill-child', '--propagation', 'private']

/** Makes the namespaces and waits until the root stands. Errors: what the script complained about. */
export async function startNamespace(options: NamespaceOptions): Promise<Namespace> {
  const { name, mount, lower, checkout, data = '', keep, env } = options
  const parameters = [name, mount, lower, checkout, data, keep ? 'keep' : '']
  const holder = spawn('unshare', [...flags, 'sh', '-c', script, 'lab', ...parameters], {
    detached: true,
    env: { ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const ended = new Promise<void>(resolve =>
    holder.on('exit', () => {
      resolve()
    }),
  )
  let complaint = ''
  holder.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  await new Promise<void>((resolve, reject) => {
    holder.on('error', reject)
    holder.on('close', () => {
      reject(new Error(`host ${name} did not start: ${complaint}`))
    })
    holder.stdout.once('data', () => {
      resolve()
    })
  })
  const [pid] = childrenOf(holder.pid)
  if (pid === undefined) throw new Error(`host ${name} has no first process: ${complaint}`)
  return {
    pid,
    async end() {
      signalTo(pid, 'SIGKILL')
      await ended
    },
  }
}
