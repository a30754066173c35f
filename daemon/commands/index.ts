/** The commands of `weft`. Loaded when called: nobody waits for the code of the others. */
import type { Command } from './command.ts'

export interface Row {
  readonly help: string
  /** In order; `<name>` is needed. */
  readonly words?: readonly { readonly name: string; readonly help: string }[]
  readonly flags?: readonly { readonly flag: string; readonly help: string; readonly hidden?: boolean }[]
  load(): Promise<Command>
}

/** `weft NAME ROW` */
export interface Group {
  readonly help: string
  readonly commands: Readonly<Record<string, Row>>
}

const root = { flag: '--root <dir>', help: 'directory that stands for /', hidden: true } as const

export const commands: Readonly<Record<string, Row>> = {
  status: {
    help: 'what the daemon is, how it is, what it keeps',
    load: async () => (await import('./status.ts')).status,
  },
  networks: {
    help: 'list networks',
    load: async () => (await import('./networks.ts')).networks,
  },
  endpoints: {
    help: 'list endpoints: the legs of containers in networks',
    load: async () => (await import('./endpoints.ts')).endpoints,
  },
  ports: {
    help: 'list published ports',
    load: async () => (await import('./ports.ts')).ports,
  },
  diff: {
    help: 'show what would be changed in the kernel, and change nothing; exit status 1 when there is something',
    load: async () => (await import('./diff.ts')).diff,
  },
  settle: {
    help: 'make the kernel agree with the records now',
    flags: [{ flag: '--force', help: "also remove what carries weft's mark while there are no records at all" }],
    load: async () => (await import('./settle.ts')).settle,
  },
  version: {
    help: 'print the versions of this program and of the running daemon',
    load: async () => (await import('./version.ts')).version,
  },
  install: {
    help: 'make the daemon a service of systemd, and start it',
    flags: [root],
    load: async () => (await import('./install.ts')).install,
  },
  uninstall: {
    help: 'stop the service and remove everything that weft made on this machine',
    flags: [{ flag: '--force', help: 'also while containers use networks of weft: they lose them' }, root],
    async load() {
      const { uninstallWith } = await import('./uninstall.ts')
      return uninstallWith(async () => (await import('../sweep.ts')).sweepKernel())
    },
  },
}

const address = { name: '<address>', help: 'IPv4 or IPv6, without a prefix length' } as const

export const groups: Readonly<Record<string, Group>> = {
  ipam: {
    help: 'addresses: who has them, and what is kept of them',
    commands: {
      ls: {
        help: 'list pools, with their networks and how full they are',
        load: async () => (await import('./ipam.ts')).list,
      },
      show: {
        help: 'tell all about one address',
        words: [address],
        load: async () => (await import('./ipam.ts')).show,
      },
      check: {
        help: 'compare leases with endpoints and the engine; exit status 1 when something does not fit',
        load: async () => (await import('./ipam.ts')).check,
      },
      reserve: {
        help: 'keep an address from being given out: for who names it, or for one MAC',
        words: [{ name: '<where>', help: 'a network, or a subnet or id of a pool' }, address],
        flags: [
          { flag: '--mac <mac>', help: 'who gets it, with and without naming it; nobody else does' },
          { flag: '--note <text>', help: 'why, for people' },
        ],
        load: async () => (await import('./ipam.ts')).reserve,
      },
      release: {
        help: 'end all that keeps an address from being given out, or a pool that no network uses',
        words: [{ name: '[what]', help: 'an address, or a subnet or id of a pool' }],
        flags: [
          { flag: '--force', help: 'also a lease that somebody uses; a pool with addresses in use' },
          {
            flag: '--from-report <file>',
            help: "instead: all that 'weft --json ipam check' found unused, if it still is",
          },
        ],
        load: async () => (await import('./ipam.ts')).release,
      },
    },
  },
}
