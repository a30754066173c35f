/** Child of sqlite.test.ts: commits one record after the other, and prints the number of each when it is durable. */
import { SqliteStore } from '../../../../daemon/store/sqlite.ts'

const [path = ''] = process.argv.slice(2)
using store = new SqliteStore(path)
for (let number = 1; ; number += 1) {
  await store.commit([
    { key: `odd/${number}`, value: { number }, expect: 0 },
    { key: 'last', value: number },
  ])
  process.stdout.write(`${number}\n`)
}
