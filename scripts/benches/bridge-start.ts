/** `docker run -d -p`: on weft and on the engine's own bridge, beside no other published port and beside thousands. */
import { repeatRules } from './bridge-rules.ts'
import { compared, firstPort, inTurn, publish, type BridgeSettings, type Side, type Stage } from './bridge-stage.ts'
import type { Figure } from './figures.ts'

const many = 5000

export async function starts(stage: Stage, settings: BridgeSettings): Promise<readonly Figure[]> {
  const { weft, own, report } = stage
  const count = settings.pairs * 2
  await inTurn(3, stage, start)
  report(`starts: ${count} pairs`)
  const alone = await inTurn(count, stage, start)
  report(`starts: ${many} ports published by weft; one by the engine, and its rules repeated for the others`)
  await publish(weft.host, 'others', many)
  await publish(own.host, 'others', 1)
  const rules = await repeatRules(own.host, firstPort, many)
  await inTurn(2, stage, start)
  report(`starts: ${count} pairs beside ${many} ports`)
  const beside = await inTurn(count, stage, start)
  await rules[Symbol.asyncDispose]()
  for (const { host } of [weft, own]) await host.docker('rm -f others', { timeoutMs: 300_000 })
  return [
    ...compared('docker run -d -p', 'ms', alone, { median: { most: 1.05 } }),
    ...compared(`docker run -d -p beside ${many} ports`, 'ms', beside, { median: { most: 0.7 } }),
  ]
}

/** Milliseconds of the start alone. */
async function start({ host }: Side): Promise<number> {
  const started = performance.now()
  await host.docker('run -d --name started --network bench -p 8080:80 probe sleep 1000')
  const ms = performance.now() - started
  await host.docker('rm -f started')
  return ms
}
