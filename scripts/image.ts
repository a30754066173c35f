/**
 * The test image, for engines without a registry: busybox, the network tools, and a server that tells whom it sees.
 * About 18 MB as a tar for `docker import`.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'

const exec = promisify(execFile)

/** Changes of a container's configuration that the engine applies on import. */
export const imageChanges = ['CMD ["/bin/serve"]', 'ENV PATH=/bin:/usr/bin:/usr/sbin:/sbin', 'EXPOSE 80/tcp 80/udp']

const programs = ['curl', 'ip', 'iperf3', 'ping', 'socat', 'ss']

/**
 * Answers on port 80, TCP (HTTP) and UDP, v4 and v6: `name <hostname> client <address>`. One answer proves
 * reachability and shows the address the server sees. It ends at once on TERM, so that `docker stop` is quick.
 */
const serve = `#!/bin/sh
trap 'exit 0' TERM INT
mkdir -p /www/cgi-bin
httpd -p 80 -h /www
socat UDP4-LISTEN:80,fork EXEC:/bin/echo-peer &
socat UDP6-LISTEN:80,ipv6only=1,fork EXEC:/bin/echo-peer &
while :; do
  sleep 3600 &
  wait $!
done
`
/** busybox httpd shows a v4 client as [::ffff:192.0.2.1] and a v6 one in brackets. */
const page = `#!/bin/sh
peer=\${REMOTE_ADDR#[}
peer=\${peer%]}
printf 'Content-Type: text/plain\\r\\n\\r\\nname %s client %s\\n' "$(hostname)" "\${peer#::ffff:}"
`
/**
 * The datagram is read before the answer: a sender must be able to tell which question is answered. A process per sender
 * (LISTEN), not per datagram: socat 1.8 ends with an empty one, and a process would wait for its question for ever.
 */
const echoPeer = `#!/bin/sh
read -r line
echo "name $(hostname) client $SOCAT_PEERADDR $line"
`

/** Changes when the content does: part of the cached file's name. */
export const imageRecipe = createHash('sha256')
  .update([serve, page, echoPeer, ...programs].join('\n'))
  .digest('hex')
  .slice(0, 8)

/** Writes the image's tar to \`path\`, unless it is there already. Programs and their libraries come from \`root\`. */
export async function packImage(root: string, path: string, report: (line: string) => void): Promise<void> {
  if (existsSync(path)) return
  const work = await mkdtemp(join(dirname(path), '.image-'))
  try {
    const tree = join(work, 'tree')
    for (const name of ['bin', 'dev', 'etc', 'proc', 'root', 'sys', 'tmp', 'var/tmp', 'www/cgi-bin']) {
      await mkdir(join(tree, name), { recursive: true })
    }
    await copyPrograms(root, tree)
    const files: [name: string, text: string][] = [
      ['bin/serve', serve],
      ['bin/echo-peer', echoPeer],
      ['www/cgi-bin/index.cgi', page],
    ]
    for (const [name, text] of files) {
      await writeFile(join(tree, name), text)
      await chmod(join(tree, name), 0o755)
    }
    await writeFile(join(tree, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
    await writeFile(join(tree, 'etc/group'), 'root:x:0:\n')
    await exec('tar', ['-C', tree, '--numeric-owner', '--owner=0', '--group=0', '-cf', join(work, 'image.tar'), '.'])
    await rename(join(work, 'image.tar'), path)
    report(`test image: ready in ${path}`)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function copyPrograms(root: string, tree: string): Promise<void> {
  const { stdout: applets } = await exec('chroot', [root, 'busybox', '--list'])
  await cp(join(root, 'usr/bin/busybox'), join(tree, 'bin/busybox'))
  for (const applet of applets.trim().split('\n')) {
    if (applet !== 'busybox' && !programs.includes(applet)) await symlink('busybox', join(tree, 'bin', applet))
  }
  const paths = await Promise.all(
    programs.map(async name => {
      const { stdout } = await exec('chroot', [root, 'sh', '-c', 'readlink -f "$(command -v "$1")"', 'sh', name])
      return { name, path: stdout.trim() }
    }),
  )
  for (const { name, path } of paths) await cp(join(root, path), join(tree, 'bin', name))
  const { stdout } = await exec('chroot', [root, 'ldd', ...paths.map(({ path }) => path)])
  const libraries = new Set([...stdout.matchAll(/(\/\S+\.so\S*) \(0x/g)].map(([, library = '']) => library))
  for (const library of libraries) {
    const target = join(tree, library)
    await mkdir(dirname(target), { recursive: true })
    await cp(join(root, library), join(dirname(target), basename(library)), { dereference: true })
  }
}
