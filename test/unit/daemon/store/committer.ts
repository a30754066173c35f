/**
 * Child of sqlite.test.ts: commits one record after the other, and prints the number of each when it is durable. Every other one need not
 * survive a power cut, but must survive the end of this process all the same.
 */
import { SqliteStore } from '../../../../daemon/store/sqlite.ts'

const [path = ''] = process.argv.slice(2)
using store = new SqliteStore(path)
for (let number = 1; ; number += 1) {
  const writes = [
    { key: `odd/${number}`, value: { number }, expect: 0 },
    { key: 'last', value: number },
  ]
  await store.commit(writes, { survives: number % 2 === 0 ? 'power' : 'process' })
  process.stdout.write(`${number}\n`)
}
