/**
 * Runs test layers: `scripts/test.ts unit golden lab`, or single files. uvu's traps are closed here: each file has its
 * own process and a time-out, and must report passed = total > 0 (a failing hook or a forgotten `test.run()` does not).
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { guestVariable, type Outcome } from '../test/support/guest/outcome.ts'

/** Repetitions (scripts/test --full) take their time. */
const patience = process.env['WEFT_TEST_FULL'] ? 10 : 1
/** A file's time-out in seconds, and how many files run beside each other. Lab files mostly wait. */
const layers: Readonly<Record<string, { readonly timeoutSeconds: number; readonly beside: number }>> = {
  unit: { timeoutSeconds: 60 * patience, beside: availableParallelism() },
  golden: { timeoutSeconds: 60 * patience, beside: availableParallelism() },
  lab: { timeoutSeconds: 300 * patience, beside: 3 },
  // Slow processors, and emulated.
  guest: { timeoutSeconds: 600 * patience, beside: 1 },
}
/** More than a minute each. They begin first: none is left running alone at the end. */
const long = ['crash', 'restart', 'coexist-firewalld', 'coexist-ufw', 'coexist-mark', 'coexist', 'lives'].map(
  name => `test/lab/${name}.test.ts`,
)

function filesOf(argument: string): readonly string[] {
  const path = layers[argument] ? `test/${argument}` : argument
  if (!existsSync(path)) throw new Error(`${argument}: neither a layer (${Object.keys(layers).join(', ')}) nor a file`)
  if (statSync(path).isFile()) return [path]
  const paths = readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.test.ts'))
    .map(name => `${path}/${name}`)
    .sort()
  return [...long.filter(each => paths.includes(each)), ...paths.filter(each => !long.includes(each))]
}

/** `tells`: what the test prints is shown also when it passes: figures, tables. */
async function runFile(path: string, timeoutSeconds: number, tells: boolean): Promise<Outcome> {
  const started = Date.now()
  let output = ''
  // Its own process group, so that a time-out also ends what the test started.
  const child = spawn(process.execPath, [path], { detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  const collect = (chunk: Buffer): void => {
    output += chunk.toString()
  }
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  const ending = { timedOut: false }
  const timer = setTimeout(() => {
    ending.timedOut = true
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  }, timeoutSeconds * 1000)
  const status = await new Promise<number | null>(resolve => child.on('close', resolve))
  clearTimeout(timer)

  const total = Number(/Total:\s+(\d+)/.exec(output)?.[1] ?? 0)
  const passed = Number(/Passed:\s+(\d+)/.exec(output)?.[1] ?? 0)
  const good = status === 0 && total > 0 && passed === total
  const seconds = ((Date.now() - started) / 1000).toFixed(1)
  console.log(`${good ? 'ok    ' : 'FAILED'}  ${path}  ${passed}/${total}  ${seconds} s`)
  if (!good || tells) console.log(output.trimEnd())
  if (good) return { passed, failed: 0 }
  if (ending.timedOut) console.log(`${path}: killed after ${timeoutSeconds} s`)
  else if (total === 0) console.log(`${path}: no test ran (is test.run() missing?)`)
  return { passed, failed: Math.max(1, total - passed) }
}

/** The files of this layer run inside, each reported by this very program. */
async function runGuest(argument: string): Promise<Outcome> {
  const processors = wanted.every(isGuests) ? 2 : 1
  const { runInGuest } = await import('../test/support/guest/run.ts')
  return runInGuest({ what: [argument], timeoutSeconds: 900 * patience, processors, print: console.log })
}

const wanted = process.argv.slice(2)
const inside = process.env[guestVariable] !== undefined
const sum = { passed: 0, failed: 0 }
const add = ({ passed, failed }: Outcome): void => {
  sum.passed += passed
  sum.failed += failed
}
const layerOf = (argument: string): string => (layers[argument] ? argument : (argument.split('/')[1] ?? ''))
const isGuests = (argument: string): boolean => layerOf(argument) === 'guest' && !inside
// It has a machine of its own, a slow one: the others do not wait for it.
const guests = Promise.all(wanted.filter(isGuests).map(runGuest))
for (const argument of wanted.filter(each => !isGuests(each))) {
  const layer = layers[layerOf(argument)] ?? { timeoutSeconds: 60, beside: 1 }
  const queue = [...filesOf(argument)]
  const worker = async (): Promise<void> => {
    for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
      add(await runFile(path, layer.timeoutSeconds, path === argument))
    }
  }
  await Promise.all(Array.from({ length: layer.beside }, worker))
}
for (const outcome of await guests) add(outcome)
console.log(`${sum.passed} passed, ${sum.failed} failed`)
process.exitCode = sum.failed === 0 && sum.passed > 0 ? 0 : 1
