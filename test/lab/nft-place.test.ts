/** Where the accept rule stands among rules of others, in the new iptables and in the old ones. */
import { execFileSync, spawnSync } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { AcceptRule } from '../../native/kernel/resource.ts'
import { insertLegacyAccept } from '../../native/nft/legacy.ts'
import { scratch } from '../support/scratch.ts'

// The old iptables' tables are those of the process: never the machine's own.
if (!process.env['WEFT_TEST_NETNS']) {
  const env = { ...process.env, WEFT_TEST_NETNS: '1' }
  const child = spawnSync('unshare', ['--net', process.execPath, import.meta.filename], { env, stdio: 'inherit' })
  process.exit(child.status ?? 1)
}

/** Chain, its rules, and where weft's stands among them afterwards. */
const weft = '-m mark --mark 0x100000/0x100000 -m comment --comment weft -j ACCEPT'
const placed: Readonly<Record<string, readonly [chain: string, rules: readonly string[], after: readonly string[]]>> = {
  empty: ['DOCKER-USER', [], [weft]],
  'of the administrator': ['DOCKER-USER', ['-i eth0 -j DROP'], ['-i eth0 -j DROP', weft]],
  'with an end': ['DOCKER-USER', ['-i eth0 -j DROP', '-j RETURN'], ['-i eth0 -j DROP', weft, '-j RETURN']],
  'with rules after the end': ['DOCKER-USER', ['-j RETURN', '-j DROP'], [weft, '-j RETURN', '-j DROP']],
  'with a rule that came later': ['DOCKER-USER', [weft, '-i eth0 -j DROP'], ['-i eth0 -j DROP', weft]],
  'with an end that came later': ['DOCKER-USER', ['-j RETURN', '-j DROP', weft], [weft, '-j RETURN', '-j DROP']],
  'with two': ['DOCKER-USER', [weft, '-i eth0 -j RETURN', weft], ['-i eth0 -j RETURN', weft]],
  'without the jump': ['FORWARD', ['-i eth0 -j ACCEPT'], [weft, '-i eth0 -j ACCEPT']],
  'with the jump': ['FORWARD', ['-j DOCKER-USER', '-j DROP'], ['-j DOCKER-USER', weft, '-j DROP']],
  'with a jump that came later': [
    'FORWARD',
    [weft, '-i eth0 -j ACCEPT', '-j DOCKER-USER', '-j DROP'],
    ['-i eth0 -j ACCEPT', '-j DOCKER-USER', weft, '-j DROP'],
  ],
}

for (const [backend, family, iptables] of [
  ['nft', 'ip', 'iptables-nft'],
  ['nft', 'ip6', 'ip6tables-nft'],
  ['legacy', 'ip', 'iptables-legacy'],
] as const) {
  test(`${backend}: what ${iptables} has of others decides before the accept rule`, async () => {
    using net = scratch()
    await using nft = net.nft()
    // The old tables are changed in the namespace of this process, made above.
    const run = (text: string): string =>
      backend === 'nft' ? net.run(`${iptables} ${text}`) : execFileSync(iptables, text.split(' '), { encoding: 'utf8' })
    run('-N DOCKER-USER')
    for (const [name, [chain, rules, after]] of Object.entries(placed)) {
      run('-F')
      for (const rule of rules) run(`-A ${chain} ${rule}`)
      const rule: AcceptRule = { type: 'accept', family, chain, backend, mark: 0x100000 }
      for (let round = 0; round < 2; round += 1) {
        if (backend === 'nft') await nft.commit([{ op: 'accept', rule }])
        else await insertLegacyAccept(rule)
        const lines = run(`-S ${chain}`).trim().split('\n').slice(1)
        assert.equal(
          lines,
          after.map(text => `-A ${chain} ${text}`),
          name,
        )
      }
    }
  })
}

test.run()
