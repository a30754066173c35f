/** The bench of the bridge: repeated rules, and quantiles out of a histogram. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { histogram, quantileOf } from '../../../scripts/benches/bridge-latency.ts'
import { repeated } from '../../../scripts/benches/bridge-rules.ts'

test('rules: those of one port are repeated where they stand, and nothing else', () => {
  const saved = [
    '*filter',
    '-A DOCKER -d 172.18.0.3/32 ! -i br-1 -o br-1 -p tcp -m tcp --dport 20000 -j ACCEPT',
    '-A DOCKER ! -i br-1 -o br-1 -j DROP',
    'COMMIT',
    '*nat',
    ':DOCKER - [0:0]',
    '-A DOCKER ! -i br-1 -p tcp -m tcp --dport 20000 -j DNAT --to-destination 172.18.0.3:20000',
    '-A DOCKER ! -i br-1 -p tcp -m tcp --dport 2000 -j DNAT --to-destination 172.18.0.4:200001',
    'COMMIT',
  ]
  assert.equal(repeated(saved.join('\n'), 20_000, 2).split('\n'), [
    '*filter',
    '-A DOCKER -d 172.18.0.3/32 ! -i br-1 -o br-1 -p tcp -m tcp --dport 20000 -j ACCEPT',
    '-A DOCKER -d 172.18.0.3/32 ! -i br-1 -o br-1 -p tcp -m tcp --dport 20001 -j ACCEPT',
    '-A DOCKER ! -i br-1 -o br-1 -j DROP',
    'COMMIT',
    '*nat',
    ':DOCKER - [0:0]',
    '-A DOCKER ! -i br-1 -p tcp -m tcp --dport 20000 -j DNAT --to-destination 172.18.0.3:20000',
    '-A DOCKER ! -i br-1 -p tcp -m tcp --dport 20001 -j DNAT --to-destination 172.18.0.3:20001',
    '-A DOCKER ! -i br-1 -p tcp -m tcp --dport 2000 -j DNAT --to-destination 172.18.0.4:200001',
    'COMMIT',
  ])
})

const exposition = `# TYPE calls histogram
calls_bucket{le="0.01",method="Join",outcome="ok"} 90
calls_bucket{le="0.05",method="Join",outcome="ok"} 98
calls_bucket{le="+Inf",method="Join",outcome="ok"} 100
calls_sum{method="Join",outcome="ok"} 1
calls_count{method="Join",outcome="ok"} 100
calls_bucket{le="0.01",method="Leave",outcome="ok"} 100
calls_bucket{le="0.05",method="Leave",outcome="ok"} 100
calls_bucket{le="+Inf",method="Leave",outcome="ok"} 100
recalls_bucket{le="0.01",method="Join"} 7
`

test('histogram: all methods together, or one', () => {
  assert.equal(histogram(exposition, 'calls'), [
    { bound: 0.01, count: 190 },
    { bound: 0.05, count: 198 },
    { bound: Infinity, count: 200 },
  ])
  assert.equal(histogram(exposition, 'calls', 'Join')[1], { bound: 0.05, count: 98 })
})

test('histogram: a quantile lies within its bucket, and beyond the last bound at that bound', () => {
  const buckets = histogram(exposition, 'calls', 'Join')
  assert.is(quantileOf(buckets, 0.45), 0.005)
  assert.ok(Math.abs(quantileOf(buckets, 0.94) - 0.03) < 1e-9)
  assert.is(quantileOf(buckets, 0.98), 0.05)
  assert.is(quantileOf(buckets, 0.99), 0.05)
  assert.throws(() => quantileOf([], 0.5), /no samples/)
})

test.run()
