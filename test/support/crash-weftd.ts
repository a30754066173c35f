/**
 * Runs in a host: weftd with its modules loaded, standing by until SIGHUP. So a restart costs a test no start of Node;
 * from the signal on it is the daemon as bin/weftd runs it.
 */
import process from 'node:process'

await import('../../daemon/run.ts')
process.once('SIGHUP', () => {
  void import('../../daemon/main.ts')
})
setInterval(() => undefined, 60_000)
console.log('standing by')
