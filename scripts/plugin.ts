/**
 * weft as a managed plugin of the engine: config.json and rootfs/, as `docker plugin create` wants them. The root holds
 * the sources, the packages that they need, this Node and its libraries: no shell, no tools, nothing from the network.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { settings, variableOf } from '../daemon/settings.ts'

const exec = promisify(execFile)
const checkout = dirname(import.meta.dirname)

/** Where the sources are inside. */
const home = '/opt/weft'
const node = '/usr/bin/node'
const sources = ['daemon', 'drivers', 'ipam', 'native', 'plugin-api', 'LICENSE', 'package.json']
/** Settings that are the image's business: one socket, and directories that are mounted. */
const fixed: readonly string[] = ['stateDir', 'runDir', 'pluginDir', 'drivers']

interface Variable {
  readonly name: string
  readonly description: string
  readonly value: string
  /** For `docker plugin set`. */
  readonly settable: readonly string[] | null
}

/** config.json. Source of the keys: https://docs.docker.com/engine/extend/config/ */
export function pluginConfig() {
  const env = Object.entries(settings)
    .filter(([name]) => !fixed.includes(name))
    .map(([name, { default: value, help }]) => setting(variableOf(name), help, value))
  return {
    description: 'weft: container networks on one host, repaired when something changes them',
    documentation: '',
    // As bin/weftd starts it.
    entrypoint: [node, '--max-semi-space-size=4', `${home}/daemon/managed.ts`],
    workdir: '/',
    interface: {
      types: ['docker.networkdriver/1.0', 'docker.ipamdriver/1.0'],
      socket: 'weft-bridge.sock',
    },
    network: { type: 'host' },
    // So that `weft status` names the process by its number on the host.
    pidhost: true,
    // Those of the service that daemon/unit.ts writes, for the same reasons.
    linux: {
      capabilities: [
        'CAP_NET_ADMIN',
        'CAP_NET_RAW',
        'CAP_NET_BIND_SERVICE',
        'CAP_SYS_ADMIN',
        'CAP_SYS_CHROOT',
        'CAP_SYS_PTRACE',
        'CAP_DAC_OVERRIDE',
      ],
      allowAllDevices: false,
      devices: [],
    },
    // Records: kept by the engine beside the plugin, over upgrades and until the plugin is removed.
    propagatedMount: settings.stateDir.default,
    // The engine's socket, and the one that `weft` talks to. Not what is mounted below, which would keep the network
    // namespaces of ended containers; and private, for the runtime mounts the directory of our sockets on it, which
    // would cover that of all plugins on the host.
    mounts: [
      {
        name: 'run',
        description: "the engine's socket, and weft's for `weft`",
        source: '/run',
        destination: '/run',
        type: 'bind',
        options: ['bind', 'private'],
        settable: ['source'],
      },
    ],
    env: [
      ...env,
      { name: 'UV_THREADPOOL_SIZE', description: '', value: '16', settable: null },
      { name: 'NODE_COMPILE_CACHE', description: '', value: '/var/cache/node', settable: null },
    ],
    args: { name: '', description: '', value: [], settable: null },
  }
}

function setting(name: string, description: string, value: string): Variable {
  return { name, description, value, settable: ['value'] }
}

/** Fills an empty directory. */
export async function writePlugin(directory: string): Promise<void> {
  const root = join(directory, 'rootfs')
  for (const name of ['dev', 'etc', 'proc', 'run', 'sys', 'tmp', 'var/cache/node', 'var/lib/weft']) {
    await mkdir(join(root, name), { recursive: true })
  }
  const packages = await neededPackages()
  for (const name of [...sources, ...packages]) {
    await cp(join(checkout, name), join(root, home, name), { recursive: true, dereference: true })
  }
  await cp(process.execPath, join(root, node))
  for (const library of await librariesOf(process.execPath)) {
    // Under the name that it is asked for, not that of its version.
    await mkdir(join(root, dirname(library)), { recursive: true })
    await cp(library, join(root, library), { dereference: true })
  }
  await writeFile(join(directory, 'config.json'), `${JSON.stringify(pluginConfig(), undefined, 2)}\n`)
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly devOptional?: boolean }>>
}

/** Paths of the packages that weft needs to run, as npm wrote them down. Its Node is copied by itself. */
export async function neededPackages(): Promise<readonly string[]> {
  const { packages } = JSON.parse(await readFile(join(checkout, 'package-lock.json'), 'utf8')) as Lock
  return Object.entries(packages)
    .filter(([path, { dev, devOptional }]) => path.startsWith('node_modules/') && !dev && !devOptional)
    .map(([path]) => path)
    .filter(path => !basename(path).startsWith('node-linux-') && existsSync(join(checkout, path)))
}

/** What koffi needs is among them: the C library and that of C++. */
async function librariesOf(program: string): Promise<readonly string[]> {
  const { stdout } = await exec('ldd', [program])
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, library = '']) => library)
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      name: { type: 'string', default: 'weft' },
      engine: { type: 'string', default: 'unix:///run/docker.sock' },
      directory: { type: 'string' },
    },
  })
  if (values.directory !== undefined) {
    await mkdir(values.directory, { recursive: true })
    await writePlugin(values.directory)
    console.log(`wrote ${values.directory}: docker plugin create ${values.name} ${values.directory}`)
    return
  }
  const directory = await mkdtemp(join(tmpdir(), 'weft-plugin-'))
  try {
    await writePlugin(directory)
    await exec('docker', ['-H', values.engine, 'plugin', 'create', values.name, directory])
  } finally {
    await rm(directory, { recursive: true })
  }
  const tagged = values.name.includes(':') ? values.name : `${values.name}:latest`
  console.log(`created ${tagged}: docker plugin enable ${tagged}, then docker network create -d ${tagged} …`)
}

if (import.meta.main) await main()
