import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { UserError } from '../../../plugin-api/answer.ts'
import { methods } from '../../../plugin-api/methods.ts'
import { endpointOptions, networkOptions } from '../../../plugin-api/options.ts'
import { recorder } from '../../support/handlers.ts'
import { mutants } from '../../support/mutants.ts'
import { recordedCalls, transcripts } from '../../support/replay.ts'

async function codeOf(answer: Promise<unknown> | undefined): Promise<string> {
  try {
    await answer
  } catch (cause) {
    if (cause instanceof UserError) return cause.code
    throw cause
  }
  return 'ok'
}

test('methods: every recorded method is known', () => {
  const unknown = new Set(recordedCalls().map(({ method }) => method))
  for (const name of Object.keys(methods)) unknown.delete(name)
  assert.equal([...unknown], [])
})

for (const { engine, scenario, steps } of transcripts()) {
  test(`methods: ${engine} ${scenario}: every recorded request is read`, async () => {
    const handlers = recorder()
    for (const { n, method, request } of steps) {
      const row = methods[method]
      if (row?.body === 'required' && request === null) {
        assert.is(scenario, 'plugin-dies-in-the-middle-of-a-request', `${n} ${method}: an empty body`)
        continue
      }
      const swarm = method === 'NetworkDriver.AllocateNetwork' || method === 'NetworkDriver.FreeNetwork'
      assert.is(await codeOf(row?.answer(handlers, request)), swarm ? 'SWARM_ONLY' : 'ok', `${n} ${method}`)
      const options = request?.['Options'] as Record<string, unknown> | null | undefined
      if (method === 'NetworkDriver.CreateNetwork') networkOptions(method, options ?? {})
      if (request && 'EndpointID' in request) endpointOptions(method, options ?? {})
    }
  })
}

test('methods: what the handlers get is typed and without nulls', async () => {
  const handlers = recorder()
  const json = { NetworkID: 'n', EndpointID: 'e', Interface: { Address: '10.0.0.2/24', MacAddress: '' }, Options: null }
  const answer = await methods['NetworkDriver.CreateEndpoint']?.answer(handlers, json)
  assert.equal(answer, { Interface: { MacAddress: '02:42:00:00:00:01' } })
  const request = { NetworkID: 'n', EndpointID: 'e', Interface: { Address: '10.0.0.2/24' }, Options: {} }
  assert.equal(handlers.calls, [{ name: 'createEndpoint', request }])
})

test('methods: capabilities', async () => {
  const ask = (name: string): Promise<unknown> | undefined => methods[name]?.answer(recorder(), undefined)
  assert.equal(await ask('NetworkDriver.GetCapabilities'), {
    Scope: 'local',
    ConnectivityScope: 'local',
    GwAllocChecker: true,
  })
  assert.equal(await ask('IpamDriver.GetCapabilities'), { RequiresMACAddress: true, RequiresRequestReplay: true })
  assert.equal(await ask('IpamDriver.GetDefaultAddressSpaces'), {
    LocalDefaultAddressSpace: 'weft-local',
    GlobalDefaultAddressSpace: 'weft-global',
  })
})

test('mutants: the same seed makes the same ones', () => {
  const [one, two, other] = [1, 1, 2].map(seed => [...mutants(seed, 50, recordedCalls())])
  assert.equal(one, two)
  assert.not.equal(one, other)
})

test('mutants: all methods are among them, a third or more reach a handler, the rest is refused', async () => {
  const handlers = recorder()
  const seen = new Set<string>()
  const count = 4000
  for (const { method, body, how } of mutants(20, count, recordedCalls())) {
    seen.add(method)
    let json: unknown
    try {
      json = JSON.parse(body.toString())
    } catch {
      continue
    }
    const code = await codeOf(methods[method]?.answer(handlers, json))
    assert.ok(['ok', 'BAD_REQUEST', 'SWARM_ONLY'].includes(code), `${method} ${how}: ${code}`)
  }
  const bodied = Object.entries(methods).filter(([, row]) => row.body === 'required')
  assert.equal(
    bodied.map(([name]) => name).filter(name => !seen.has(name)),
    [],
  )
  assert.ok(handlers.calls.length > count / 3, `${handlers.calls.length} of ${count} reached a handler`)
})

test.run()
