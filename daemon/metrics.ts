/** Figures for Prometheus, in a registry of their own. Names are part of the contract with dashboards. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Status } from './view.ts'

/** An answered call of the engine. */
export interface RequestFact {
  /** `NetworkDriver.Join` */
  readonly method: string
  readonly ms: number
  /** The answer carried no Err. */
  readonly ok: boolean
}

export interface SettleFact {
  readonly ms: number
  /** Made in the kernel. */
  readonly changes: number
  /** That the kernel refused. */
  readonly failures: number
}

export interface Metrics {
  readonly contentType: string
  observeRequest(fact: RequestFact): void
  observeSettle(fact: SettleFact): void
  /** The exposition; gauges are read from the status. */
  text(status: Status): Promise<string>
}

/** A caller may ask for any method name: more of them than there are methods would grow the registry without end. */
const mostMethods = 40

export function createMetrics(): Metrics {
  const register = new Registry()
  const registers = [register]
  collectDefaultMetrics({ register })
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers })
  const counter = (name: string, help: string): Counter => new Counter({ name, help, registers })

  const requests = new Histogram({
    name: 'weft_request_duration_seconds',
    help: "Calls of the engine by method and outcome ('ok' or 'error')",
    labelNames: ['method', 'outcome'],
    buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5],
    registers,
  })
  const settles = new Histogram({
    name: 'weft_settle_duration_seconds',
    help: 'Comparisons with the kernel, and their repairs',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers,
  })
  const changes = counter('weft_settle_changes_total', 'Differences that settling has repaired')
  const failures = counter('weft_settle_failures_total', 'Repairs that the kernel refused')
  const info = new Gauge({
    name: 'weft_info',
    help: 'Always 1; the labels tell what runs',
    labelNames: ['version', 'kernel'],
    registers,
  })
  const ready = gauge('weft_ready', '1 when records are restored and the rule set stands')
  const degraded = gauge('weft_degraded', 'Promises that cannot be kept at the moment')
  const counts = {
    networks: gauge('weft_networks', 'Recorded networks'),
    endpoints: gauge('weft_endpoints', 'Recorded endpoints'),
    ports: gauge('weft_ports', 'Published ports, an address family each'),
    leases: gauge('weft_leases', 'Addresses granted'),
  }
  const methods = new Set<string>()

  return {
    contentType: register.contentType,
    observeRequest({ method, ms, ok }) {
      if (methods.size < mostMethods) methods.add(method)
      const label = methods.has(method) ? method : 'other'
      requests.observe({ method: label, outcome: ok ? 'ok' : 'error' }, ms / 1000)
    },
    observeSettle(fact) {
      settles.observe(fact.ms / 1000)
      changes.inc(fact.changes)
      failures.inc(fact.failures)
    },
    text(status) {
      info.set({ version: status.version, kernel: status.kernel }, 1)
      ready.set(status.ready ? 1 : 0)
      degraded.set(status.settle.degraded.length)
      counts.networks.set(status.counts.networks)
      counts.endpoints.set(status.counts.endpoints)
      counts.ports.set(status.counts.ports)
      counts.leases.set(status.counts.leases)
      return register.metrics()
    },
  }
}
