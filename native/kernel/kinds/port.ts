import type { HeldPort } from '../resource.ts'
import type { Kind } from './kind.ts'

export const port: Kind<HeldPort> = {
  async observe({ ports }) {
    return ports.list().map(resource => ({ resource, foreign: false }))
  },
  async create({ ports }, want) {
    await ports.take(want)
    await ports.pause()
  },
  async update({ ports }, want) {
    await ports.take(want)
  },
  async remove({ ports }, have) {
    ports.release(have)
    await ports.pause()
  },
}
