/** The network half of one driver's socket: the engine's calls as edits of records. Wire names stop here. */
import type { Driver, Endpoint, Network, Others } from '../drivers/driver.ts'
import { addressOf, familyOf } from '../native/value/ip.ts'
import { UserError } from '../plugin-api/answer.ts'
import type { EndpointId, NetworkId } from '../plugin-api/ids.ts'
import type { NetworkHandlers } from '../plugin-api/methods.ts'
import type { CreateEndpointAnswer, JoinAnswer } from '../plugin-api/network.ts'
import { endpointOptions, networkOptions } from '../plugin-api/options.ts'
import { announce, Duplicates } from './duplicates.ts'
import { putEndpoint, putNetwork, refuseClaimed, removeEndpoint, removeNetwork } from './edit.ts'
import { explained } from './explain.ts'
import { letForward, program, programAtJoin, yieldPorts } from './external.ts'
import { forgetForgotten } from './forgotten.ts'
import { withHost, withoutHost } from './hosting.ts'
import { hasNamespace } from './facts.ts'
import { admissionLane, namedDriver, type House } from './house.ts'
import type { PortChoices } from './ports.ts'
import { directPorts, genericOf, newEndpoint, ownPools, recordOf, staticRoute } from './requests.ts'

interface OfEndpoint {
  readonly NetworkID: NetworkId
  readonly EndpointID: EndpointId
}

export function networkHandlers(house: House, driverName: string, ports: PortChoices): NetworkHandlers {
  const driver = namedDriver(house, driverName)
  const inLane = <T>(id: NetworkId, work: () => Promise<T>): Promise<T> => explained(house.lanes.run(id, work))
  /** For what promises something: not begun any more when its caller has given it up. */
  const unlessLate = <T>(signal: AbortSignal | undefined, id: NetworkId, work: () => Promise<T>): Promise<T> =>
    explained(house.lanes.run(id, work, signal))
  /** Endpoints have nothing to do with each other: a call waits for none but those of its own. */
  const beside = <T>(of: OfEndpoint, work: () => Promise<T>, signal?: AbortSignal): Promise<T> =>
    explained(house.lanes.part(of.NetworkID, of.EndpointID, work, signal))

  const duplicates = new Duplicates(house)
  duplicates.resume(driver)
  const publisher = { house, choices: ports }

  return {
    engineStarted: () => house.records.noteLife(driverName),

    async gwAllocCheck(request) {
      const families = driver.gateways(driver.parseOptions(networkOptions('GwAllocCheck', request.Options).generic))
      return { SkipIPv4: !families.includes(4), SkipIPv6: !families.includes(6) }
    },

    async createNetwork(request, signal) {
      const asked = recordOf(request, driverName, driver.parseOptions(genericOf(request)))
      await explained(forgetForgotten(house, driver, asked, signal))
      refuseKnown(house, asked)
      const own = ownPools(request)
      const hosted = await explained(withHost(house, driver, asked, own))
      const create = async (): Promise<void> => {
        refuseUnguarded(house)
        refuseKnown(house, asked)
        // One after the other: a network that is still being made stands in no record that others are compared with.
        await house.lanes.within(admissionLane, admit, signal)
      }
      const admit = async (): Promise<void> => {
        await house.refresh()
        const pools = house.pools.grantsOf(own)
        const admitted = driver.admit(hosted, house.records.networks(), house.facts)
        const madeIn = house.records.lifeOf(driverName)
        const network = { ...admitted, madeIn, ...(pools.length > 0 ? { pools } : {}) }
        await putNetwork(house, network, signal)
        // A bridge with a name of the user's choice joins weft's zone in a settle: no request waits for firewalld.
        const zoned = house.facts.acceptHooks.some(({ backend }) => backend === 'firewalld')
        if (zoned) house.settleSoon('firewalld is to know a new bridge')
        house.log.info({ network: network.id, driver: driverName, subnets: network.subnets }, 'network created')
        const ignored = driver.ignored(network.options)
        if (ignored.length > 0) house.log.warn({ network: network.id, options: ignored }, 'unknown options are ignored')
      }
      try {
        await unlessLate(signal, request.NetworkID, create)
      } catch (cause) {
        if (hosted.hostAddresses && !house.records.network(asked.id)) await withoutHost(house, asked)
        throw cause
      }
    },

    deleteNetwork: ({ NetworkID }) =>
      inLane(NetworkID, async () => {
        const network = house.records.network(NetworkID)
        if (!network) return
        await removeNetwork(house, network)
        house.log.info({ network: NetworkID }, 'network removed')
      }),

    async createEndpoint(request, signal) {
      const search = async (): Promise<void> => {
        const asked = house.records.network(request.NetworkID)
        if (!asked) return
        await seeParent(house, driver, asked)
        const { isMacChosen: mac } = endpointOptions('CreateEndpoint', request.Options)
        await duplicates.begin(driver, asked, newEndpoint(house, asked, request, driver), { mac })
      }
      const create = async (may: { readonly replace: boolean }): Promise<CreateEndpointAnswer | undefined> => {
        refuseUnguarded(house)
        const network = knownNetwork(house, request.NetworkID)
        const endpoint = newEndpoint(house, network, request, driver)
        driver.admitEndpoint?.(network, endpoint, othersIn(house), house.facts)
        // The engine forgot the old holder without a word, or repeats itself: the address is given again.
        const same = house.records.endpoint(network.id, endpoint.id)
        const holders = endpoint.addresses.flatMap(cidr => house.records.holdersOf(addressOf(cidr)))
        const old = [...new Set([...(same ? [same] : []), ...holders])].filter(each => each.networkId === network.id)
        if (old.length > 0 && !may.replace) return undefined
        refuseClaimed(house, network, endpoint, old)
        for (const each of old) {
          if (driver.admitEndpoint && each.id !== endpoint.id) refuseLiving(each)
          await removeEndpoint(house, each)
        }
        await putEndpoint(house, network, endpoint, signal)
        house.log.info(
          { network: network.id, endpoint: endpoint.id, addresses: endpoint.addresses },
          'endpoint created',
        )
        const isFixed = driver.fixedMac?.(network, house.facts) !== undefined
        return request.Interface.MacAddress || isFixed ? {} : { Interface: { MacAddress: endpoint.mac } }
      }
      const isCompared = driver.admitEndpoint !== undefined
      try {
        await explained(search())
        const made = isCompared ? undefined : await beside(request, () => create({ replace: false }), signal)
        // Other endpoints are looked at, or removed, in a turn of all of them.
        return (
          made ?? (await unlessLate(signal, request.NetworkID, async () => (await create({ replace: true })) ?? {}))
        )
      } catch (cause) {
        duplicates.forget(request.EndpointID)
        throw cause
      }
    },

    async endpointOperInfo() {
      return { Value: {} }
    },

    async join(request, signal) {
      await explained(duplicates.finish(request.EndpointID))
      const join = async (): Promise<JoinAnswer> => {
        refuseUnguarded(house)
        const network = knownNetwork(house, request.NetworkID)
        const endpoint = knownEndpoint(house, network.id, request.EndpointID)
        await letForward(house, driver.forwards(network))
        const { SandboxKey: sandboxKey } = request
        const direct = directPorts(driver.publishing(network, house.facts), request)
        const joined = { ...endpoint, ...direct, phase: 'joined', sandboxKey, changedAt: Date.now() } as const
        await putEndpoint(house, network, joined, signal)
        const answer = driver.join(network, endpoint, house.facts)
        await programAtJoin(publisher, joined, answer, request, signal)
        announce(house, driver, network, joined)
        const { srcName, dstPrefix, gateways, routes, disableGatewayService } = answer
        const gateway = gateways.find(ip => familyOf(ip) === 4)
        const gateway6 = gateways.find(ip => familyOf(ip) === 6)
        return {
          InterfaceName: { SrcName: srcName ?? '', DstPrefix: dstPrefix },
          ...(gateway === undefined ? {} : { Gateway: gateway }),
          ...(gateway6 === undefined ? {} : { GatewayIPv6: gateway6 }),
          ...(routes.length > 0 ? { StaticRoutes: routes.map(staticRoute) } : {}),
          ...(disableGatewayService ? { DisableGatewayService: true } : {}),
        }
      }
      return beside(request, join, signal)
    },

    leave: request =>
      beside(request, () => change(house, request, { phase: 'left', ports: [], direct: [], changedAt: Date.now() })),

    deleteEndpoint: request => {
      const { NetworkID, EndpointID } = request
      duplicates.forget(EndpointID)
      return beside(request, async () => {
        const endpoint = house.records.endpoint(NetworkID, EndpointID)
        if (!endpoint) return
        await removeEndpoint(house, endpoint)
        house.log.info({ network: NetworkID, endpoint: EndpointID }, 'endpoint removed')
      })
    },

    async programExternalConnectivity(request, signal) {
      await explained(yieldPorts(house, request))
      const work = async (): Promise<void> => {
        const network = knownNetwork(house, request.NetworkID)
        const endpoint = knownEndpoint(house, network.id, request.EndpointID)
        await program(publisher, endpoint, request, signal)
      }
      await beside(request, work, signal)
    },

    revokeExternalConnectivity: request => beside(request, () => change(house, request, { ports: [] })),
  }
}

/** Facts are read now and then: a VLAN that weft made, or a parent that came or came up since, may be in none of them. */
async function seeParent(house: House, driver: Driver, network: Network): Promise<void> {
  const parent = driver.parentOf?.(network)
  if (parent === undefined || house.facts.links.some(({ name, up }) => name === parent && up)) return
  await house.refresh()
}

function refuseKnown({ records }: House, { id }: Network): void {
  if (records.network(id)) throw new UserError('NETWORK_EXISTS', `network ${id} exists already`)
}

/** Without MACs an IPAM driver cannot tell a new request for an address from one that the engine repeats. */
function refuseLiving({ id, phase, sandboxKey, addresses }: Endpoint): void {
  if (phase !== 'joined' || sandboxKey === undefined || !hasNamespace(sandboxKey)) return
  const text = `address ${addresses.map(addressOf).join(' or ')} is in use: endpoint ${id.slice(0, 12)} of this network has it`
  throw new UserError('ADDRESS_TAKEN', text, { hint: 'choose another one' })
}

function othersIn({ records }: House): Others {
  return { network: id => records.network(id), endpoints: records.endpoints() }
}

/** Fails closed: an internal network without its rules would not be internal. */
function refuseUnguarded(house: House): void {
  if (house.rulesStand()) return
  throw new UserError('RULES_MISSING', "weft's firewall rules are not loaded", {
    hint: "'weft status' says why; nothing is connected until they are",
  })
}

/** A change of an endpoint that may be unknown by now; then there is nothing to do. */
async function change(house: House, of: OfEndpoint, more: Partial<Endpoint>): Promise<void> {
  const network = house.records.network(of.NetworkID)
  const endpoint = house.records.endpoint(of.NetworkID, of.EndpointID)
  if (network && endpoint) await putEndpoint(house, network, { ...endpoint, ...more })
}

function knownNetwork(house: House, id: NetworkId): Network {
  const network = house.records.network(id)
  if (network) return network
  throw new UserError('NETWORK_UNKNOWN', `weft has no record of network ${id}`, {
    hint: 'remove it with docker network rm and create it again',
  })
}

function knownEndpoint(house: House, networkId: NetworkId, id: EndpointId): Endpoint {
  const endpoint = house.records.endpoint(networkId, id)
  if (endpoint) return endpoint
  throw new UserError('ENDPOINT_UNKNOWN', `weft has no record of endpoint ${id}`, { hint: 'start the container again' })
}
