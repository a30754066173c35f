/** Each quirk that names a scenario is shown by its recordings. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { quirks } from '../../../plugin-api/quirks.ts'
import { readTranscript, readTranscriptLines } from '../../support/replay.ts'
import type { Step } from '../../support/replay.ts'

const optionsOf = (step: Step): Record<string, unknown> => (step.request?.['Options'] ?? {}) as Record<string, unknown>
const of = (steps: readonly Step[], method: string): readonly Step[] =>
  steps.filter(step => step.method.endsWith(`.${method}`) && step.request !== null)
const root = join(import.meta.dirname, '../../..')
const portmap = 'com.docker.network.portmap'
const mac = 'com.docker.network.endpoint.macaddress'

/** What the recording of an engine must show. */
const evidence: Readonly<
  Record<string, (steps: readonly Step[], engine: string, lines: readonly string[]) => boolean>
> = {
  'empty-host': (_steps, engine, lines) =>
    lines.some(line => line.includes(engine === '20.10' ? '"host":""' : '"host":"plugin.moby.localhost"')),
  'no-content-type': (_steps, _engine, lines) =>
    lines.some(line => line.includes('"headers"')) && !lines.some(line => /content-type/i.test(line)),
  'retry-without-body': steps =>
    steps[0]?.request !== null && steps[1]?.request === null && steps[1].method === steps[0]?.method,
  'null-maps': steps => of(steps, 'RequestAddress').some(step => step.request?.['Options'] === null),
  'oper-info-required': steps =>
    of(steps, 'EndpointOperInfo').some(step => step.status === 404) && of(steps, 'Leave').length > 0,
  'no-ipv4-switch': steps =>
    of(steps, 'CreateNetwork').every(step => !('com.docker.network.enable_ipv4' in optionsOf(step))),
  'ports-absent-when-internal': steps => of(steps, 'CreateEndpoint').some(step => !(portmap in optionsOf(step))),
  'no-gateway-with-null-ipam': steps => JSON.stringify(of(steps, 'CreateNetwork')).includes('"Pool":"0.0.0.0/0"}'),
  'mac-in-base64': steps =>
    of(steps, 'CreateEndpoint').some(step => /^"[\w+/]{8}"$/.test(JSON.stringify(optionsOf(step)[mac] ?? ''))),
  'flat-driver-options': steps =>
    of(steps, 'CreateEndpoint').some(step => 'dk' in optionsOf(step)) &&
    of(steps, 'Join').every(step => !('dk' in optionsOf(step))),
  'replay-looks-like-aux': steps =>
    of(steps, 'RequestAddress').some(step => step.request?.['Options'] === null && step.request['Address'] !== ''),
  'sandbox-comes-later': (_steps, _engine, lines) =>
    lines.some(line => line.includes('"sandboxKeyAtJoin":{"exists":false')),
  'on-link-default-is-no-gateway': steps => {
    const onLink = of(steps, 'Join').filter(step => JSON.stringify(step.response).includes('"RouteType":1'))
    const asked = of(steps, 'ProgramExternalConnectivity').map(step => step.request?.['EndpointID'])
    return onLink.length > 0 && !onLink.some(step => asked.includes(step.request?.['EndpointID']))
  },
  'error-field-of-ipam': steps => steps.some(step => JSON.stringify(step.response).startsWith('{"Error":')),
}

for (const { id, scenario } of quirks) {
  if (scenario === undefined) continue
  for (const engine of ['20.10', '26.1']) {
    test(`quirk ${id}: shown by engine ${engine}`, () => {
      const name = `${engine}-${scenario}.jsonl`
      const shown = evidence[id]
      assert.ok(shown, 'the row has a test')
      assert.ok(shown(readTranscript(name).steps, engine, readTranscriptLines(name)), name)
    })
  }
}

test('quirks: ids are unique, and the files that use a row exist', () => {
  assert.is(new Set(quirks.map(({ id }) => id)).size, quirks.length)
  for (const path of quirks.flatMap(({ usedBy }) => usedBy)) assert.ok(existsSync(join(root, path)), path)
})

test.run()
