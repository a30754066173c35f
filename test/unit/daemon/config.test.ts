import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { defaultFile, helpText, readConfig, type Config, type Sources } from '../../../daemon/config.ts'
import { flagOf, settings, variableOf } from '../../../daemon/settings.ts'
import { UserError } from '../../../plugin-api/answer.ts'

function start(sources: Partial<Sources> & { readonly file?: unknown } = {}): ReturnType<typeof readConfig> {
  const { file } = sources
  return readConfig({
    argv: [],
    env: {},
    readFile: path => (path === defaultFile && file !== undefined ? JSON.stringify(file) : undefined),
    drivers: ['bridge', 'overlay'],
    ...sources,
  })
}

function config(sources: Parameters<typeof start>[0] = {}): Config {
  const answer = start(sources)
  if (answer.do !== 'run') throw new Error(`expected a configuration, got ${answer.do}`)
  return answer.config
}

test('config: the defaults', () => {
  assert.equal(config(), {
    stateDir: '/var/lib/weft',
    runDir: '/run/weft',
    pluginDir: '/run/docker/plugins',
    engine: { address: 'unix:///run/docker.sock', socketPath: '/run/docker.sock' },
    drivers: ['bridge', 'overlay'],
    logLevel: 'info',
    logFormat: 'json',
    settleSeconds: 60,
    markAllowed: 0x00100000,
    markHairpin: 0x00200000,
    acceptFwmark: { value: 1, mask: 0 },
    allowDirectRouting: false,
    publishAddress: undefined,
    tableOwner: 'auto',
    defaultPools: [{ base: '10.64.0.0/11', size: 24 }],
    addressRestSeconds: 60,
  })
})

test('config: flag over environment over file over default', () => {
  const file = { settleSeconds: 1, stateDir: '/file', runDir: '/file' }
  const env = { WEFT_SETTLE_SECONDS: '2', WEFT_STATE_DIR: '/env', PATH: '/bin' }
  const all = config({ file, env, argv: ['--settle-seconds', '3'] })
  assert.is(all.settleSeconds, 3)
  assert.is(all.stateDir, '/env')
  assert.is(all.runDir, '/file')
  assert.is(all.pluginDir, '/run/docker/plugins')
})

const accepted: readonly { name: string; sources: Parameters<typeof start>[0]; part: Partial<Config> }[] = [
  { name: 'a flag with =', sources: { argv: ['--state-dir=/a=b'] }, part: { stateDir: '/a=b' } },
  { name: 'the last of two flags', sources: { argv: ['--run-dir', '/a', '--run-dir=/b'] }, part: { runDir: '/b' } },
  {
    name: 'a path with dots and slashes',
    sources: { argv: ['--state-dir', '/a//b/../c/'] },
    part: { stateDir: '/a/c' },
  },
  { name: 'decimal mark bits', sources: { argv: ['--mark-allowed', '1'] }, part: { markAllowed: 1 } },
  {
    name: 'the highest mark bit',
    sources: { argv: ['--mark-hairpin', '0x80000000'] },
    part: { markHairpin: 0x80000000 },
  },
  { name: 'some drivers', sources: { argv: ['--drivers', 'overlay, overlay'] }, part: { drivers: ['overlay'] } },
  { name: 'a list in the file', sources: { file: { drivers: ['bridge'] } }, part: { drivers: ['bridge'] } },
  {
    name: 'pools of both families',
    sources: { env: { WEFT_DEFAULT_POOLS: 'base=10.8.0.0/16,size=28 base=fd12::/48,size=64' } },
    part: {
      defaultPools: [
        { base: '10.8.0.0/16', size: 28 },
        { base: 'fd12::/48', size: 64 },
      ] as never,
    },
  },
  {
    name: 'pools as a list in the file',
    sources: { file: { defaultPools: ['base=10.8.0.0/16,size=28', 'base=fd12::/48,size=64'] } },
    part: {
      defaultPools: [
        { base: '10.8.0.0/16', size: 28 },
        { base: 'fd12::/48', size: 64 },
      ] as never,
    },
  },
  {
    name: 'variables of tests and scripts are not settings',
    sources: { env: { WEFT_CRASH_AT: '3', WEFT_CACHE: 'x', WEFT_TEST_TIMEOUT: 'x', WEFT_DEBIAN_MIRROR: 'x' } },
    part: {},
  },
]
for (const { name, sources, part } of accepted) {
  test(`config: ${name}`, () => {
    assert.equal({ ...config(sources) }, { ...config(), ...part })
  })
}

const refusals: readonly { sources: Parameters<typeof start>[0]; text: string }[] = [
  {
    sources: { env: { WEFT_SETTLE_SECONDS: 'x' } },
    text: 'WEFT_SETTLE_SECONDS: expected a whole number from 1 to 3600, got "x"',
  },
  {
    sources: { argv: ['--settle-seconds', '0'] },
    text: '--settle-seconds: expected a whole number from 1 to 3600, got "0"',
  },
  {
    sources: { argv: ['--settle-seconds', '1.5'] },
    text: '--settle-seconds: expected a whole number from 1 to 3600, got "1.5"',
  },
  {
    sources: { file: { settleSeconds: 1e9 } },
    text: '/etc/weft/weft.json: settleSeconds: expected a whole number from 1 to 3600, got "1000000000"',
  },
  { sources: { argv: ['--stat-dir', '/x'] }, text: '--stat-dir: unknown flag, did you mean --state-dir?' },
  { sources: { argv: ['-x'] }, text: '-x: unknown flag' },
  { sources: { argv: ['--state-dir'] }, text: '--state-dir: expected a value after it' },
  { sources: { argv: ['start'] }, text: '"start": weftd takes flags only' },
  { sources: { env: { WEFT_STATEDIR: '/x' } }, text: 'WEFT_STATEDIR: unknown variable, did you mean WEFT_STATE_DIR?' },
  {
    sources: { file: { 'state-dir': '/x' } },
    text: '/etc/weft/weft.json: state-dir: unknown key, did you mean stateDir?',
  },
  { sources: { file: { constructor: '/x' } }, text: '/etc/weft/weft.json: constructor: unknown key' },
  { sources: { file: [] }, text: '/etc/weft/weft.json: expected an object' },
  {
    sources: { file: { stateDir: { a: 1 } } },
    text: '/etc/weft/weft.json: stateDir: expected a text, a number or a list of texts, got {"a":1}',
  },
  { sources: { argv: ['--config', '/none.json'] }, text: '--config: there is no file /none.json' },
  { sources: { env: { WEFT_CONFIG: 'here' } }, text: 'WEFT_CONFIG: expected an absolute path, got "here"' },
  { sources: { argv: ['--state-dir', 'here'] }, text: '--state-dir: expected an absolute path, got "here"' },
  { sources: { argv: ['--state-dir', '/a\nb'] }, text: '--state-dir: expected an absolute path, got "/a\\nb"' },
  {
    sources: { argv: ['--run-dir', `/${'r'.repeat(70)}`] },
    text: `--run-dir: expected an absolute path of at most 70 bytes, got "/${'r'.repeat(70)}"`,
  },
  {
    sources: { argv: ['--engine', 'tcp://127.0.0.1:2375'] },
    text: '--engine: expected unix:// and an absolute path, got "tcp://127.0.0.1:2375"',
  },
  {
    sources: { argv: ['--drivers', 'bridge,overly'] },
    text: '--drivers: expected all or a list of bridge, overlay, did you mean overlay?, got "bridge,overly"',
  },
  { sources: { argv: ['--drivers', ''] }, text: '--drivers: expected a list without empty items, got ""' },
  {
    sources: { argv: ['--log-level', 'loud'] },
    text: '--log-level: expected one of trace, debug, info, warn, error, fatal, got "loud"',
  },
  {
    sources: { argv: ['--mark-allowed', '0'] },
    text: '--mark-allowed: expected bits of a 32-bit mark, like 0x00100000, got "0"',
  },
  {
    sources: { argv: ['--mark-allowed', '0x00300000'] },
    text: '--mark-allowed: expected bits that --mark-hairpin (0x00200000) leaves free, got "0x00300000"',
  },
  {
    sources: { env: { WEFT_MARK_HAIRPIN: '0x80000000' }, argv: ['--mark-allowed', '0x80000000'] },
    text: 'WEFT_MARK_HAIRPIN: expected bits that --mark-allowed (0x80000000) leaves free, got "0x80000000"',
  },
  {
    sources: { argv: ['--default-pools', 'base=10.8.0.1/16,size=24'] },
    text: '--default-pools: default pool "base=10.8.0.1/16,size=24": base should be 10.8.0.0/16: for example base=10.64.0.0/11,size=24',
  },
]
for (const { sources, text } of refusals) {
  test(`config refuses: ${text}`, () => {
    try {
      start(sources)
    } catch (cause) {
      if (!(cause instanceof UserError)) throw cause
      assert.equal([cause.code, cause.text], ['BAD_SETTING', text])
      return
    }
    assert.unreachable('was accepted')
  })
}

test('config: a settings file that is not JSON is refused by its path', () => {
  assert.throws(() => start({ readFile: () => '{' }), /^\/etc\/weft\/weft\.json: not JSON: /)
})

test('config: --config names another file, and a missing default file is fine', () => {
  const readFile = (path: string): string | undefined => (path === '/x.json' ? '{"settleSeconds": 7}' : undefined)
  assert.is(config({ readFile, argv: ['--config=/x.json'] }).settleSeconds, 7)
  assert.is(config({ readFile, env: { WEFT_CONFIG: '/x.json' } }).settleSeconds, 7)
  assert.is(config({ readFile }).settleSeconds, 60)
})

test('config: --help and --version win over what else is wrong', () => {
  assert.equal(start({ argv: ['--help'], env: { WEFT_NONSENSE: '1' } }), { do: 'help' })
  assert.equal(start({ argv: ['-h'] }), { do: 'help' })
  assert.equal(start({ argv: ['--version'] }), { do: 'version' })
})

test('config: the help names every flag with its default', () => {
  for (const [name, { default: text }] of Object.entries(settings)) {
    assert.match(helpText(), new RegExp(`--${flagOf(name)} .*\\(default ${text}\\)`))
  }
})

test('config: names of flags and variables', () => {
  assert.is(flagOf('settleSeconds'), 'settle-seconds')
  assert.is(variableOf('settleSeconds'), 'WEFT_SETTLE_SECONDS')
})

test.run()
