import { closeHeldPort, holdPort } from '../ffi/ports.ts'
import { asKernelError } from '../netlink/errors.ts'
import { keyOf, type HeldPort } from './resource.ts'

/** Sockets that reserve published ports. They are this process's own, and end with it. */
export class HeldPorts {
  readonly #held = new Map<string, { readonly port: HeldPort; readonly fd: number }>()

  list(): readonly HeldPort[] {
    return [...this.#held.values()].map(({ port }) => port)
  }

  /** Throws KernelError: EADDRINUSE when any process has it, EADDRNOTAVAIL when the host has no such address. */
  hold(port: HeldPort): void {
    const key = keyOf(port)
    if (this.#held.has(key)) return
    try {
      this.#held.set(key, { port, fd: holdPort(port) })
    } catch (cause) {
      throw asKernelError(cause, 'hold', key)
    }
  }

  release(port: HeldPort): void {
    const held = this.#held.get(keyOf(port))
    if (!held) return
    this.#held.delete(keyOf(port))
    closeHeldPort(held.fd)
  }

  releaseAll(): void {
    for (const port of this.list()) this.release(port)
  }
}
