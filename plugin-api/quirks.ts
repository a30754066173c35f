/**
 * Where engines differ, or do what nobody would expect. A row names its evidence, a scenario of test/golden/transcripts
 * (recorded with 20.10 and 26.1 only; `undefined`: seen with a newer engine, or read in its source), and who reckons
 * with it. Each row with a scenario has a test of its name. Code asks for what was sent, never for a version.
 */
export interface Quirk {
  readonly id: string
  /** Engine versions that do it. */
  readonly engines: string
  readonly what: string
  readonly scenario: string | undefined
  /** Files that would be wrong without this row. */
  readonly usedBy: readonly string[]
}

export const quirks: readonly Quirk[] = [
  {
    id: 'empty-host',
    engines: '20.10 to 24.0.4',
    what: 'the Host header is empty; later engines send plugin.moby.localhost',
    scenario: 'activation',
    usedBy: ['plugin-api/socket.ts'],
  },
  {
    id: 'no-content-type',
    engines: 'all',
    what: 'bodies come without a Content-Type',
    scenario: 'activation',
    usedBy: ['plugin-api/server.ts'],
  },
  {
    id: 'retry-without-body',
    engines: 'all',
    what: 'a call whose connection broke is repeated with an empty body',
    scenario: 'plugin-dies-in-the-middle-of-a-request',
    usedBy: ['plugin-api/body.ts', 'plugin-api/socket.ts'],
  },
  {
    id: 'null-maps',
    engines: 'all',
    what: 'Options of RequestAddress are null when there are none',
    scenario: 'network-create-own-ipam-driver',
    usedBy: ['plugin-api/read.ts'],
  },
  {
    id: 'oper-info-required',
    engines: '20.10 to 27',
    what: 'a container does not start when EndpointOperInfo is answered 404; later engines ignore it',
    scenario: 'unimplemented-methods-404',
    usedBy: ['plugin-api/methods.ts'],
  },
  {
    id: 'no-ipv4-switch',
    engines: '20.10 to 27',
    what: 'the option enable_ipv4 does not exist, and every network has IPv4',
    scenario: 'network-create-ipv6',
    usedBy: ['plugin-api/options.ts'],
  },
  {
    id: 'ports-absent-when-internal',
    engines: 'all',
    what: 'endpoints of internal networks come without port lists, others with empty ones',
    scenario: 'network-create-internal-attachable',
    usedBy: ['plugin-api/options.ts'],
  },
  {
    id: 'no-gateway-with-null-ipam',
    engines: 'all',
    what: 'with --ipam-driver null the pool is 0.0.0.0/0, and nothing has an address',
    scenario: 'network-create-null-ipam',
    usedBy: ['plugin-api/network.ts'],
  },
  {
    id: 'mac-in-base64',
    engines: 'all',
    what: 'the option endpoint.macaddress of CreateEndpoint is base64 of six bytes; Interface.MacAddress is text',
    scenario: 'run-with-ip-and-mac',
    usedBy: ['plugin-api/options.ts'],
  },
  {
    id: 'flat-driver-options',
    engines: 'all',
    what: "driver options of an endpoint lie beside the engine's own keys, and come with CreateEndpoint only",
    scenario: 'run-with-endpoint-options',
    usedBy: ['plugin-api/options.ts'],
  },
  {
    id: 'replay-looks-like-aux',
    engines: 'all',
    what: "after an engine's restart stored addresses are requested again without a MAC, like auxiliary ones",
    scenario: 'engine-restart-live-restore',
    usedBy: ['plugin-api/options.ts'],
  },
  {
    id: 'sandbox-comes-later',
    engines: '20.10 to 27',
    what: 'nothing stands at SandboxKey when Join is called for a container that starts',
    scenario: 'run-stop-rm',
    usedBy: ['plugin-api/network.ts'],
  },
  {
    id: 'on-link-default-is-no-gateway',
    engines: '20.10 to 27',
    what: 'an endpoint whose default route has no next hop is never asked to publish ports; later engines ask',
    scenario: 'join-connected-default-route',
    usedBy: ['daemon/external.ts'],
  },
  {
    id: 'error-field-of-ipam',
    engines: 'all',
    what: 'IpamDriver methods read Error, NetworkDriver methods Err, and each takes the other for success',
    scenario: 'ipam-failures',
    usedBy: ['plugin-api/answer.ts'],
  },
  {
    id: 'gateway-check',
    engines: '28.0 and later',
    what: 'GwAllocCheck is asked before IPAM when GwAllocChecker was announced',
    scenario: undefined,
    usedBy: ['plugin-api/methods.ts'],
  },
  {
    id: 'address-spaces-asked-late',
    engines: '27.0 and later',
    what: 'GetDefaultAddressSpaces comes with each network, not with the activation',
    scenario: undefined,
    usedBy: ['plugin-api/methods.ts'],
  },
]
