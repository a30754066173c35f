/**
 * `weftd` as a managed plugin of the engine. A runtime gives it a mount namespace of its own, in which a read-only mount
 * covers /proc/sys; config.json of plugins has no word against that. What lies below it is writable, so it is taken off.
 */
import { SystemError } from '../native/ffi/errno.ts'
import { umount } from '../native/ffi/libc.ts'

const EINVAL = 22

try {
  umount('/proc/sys', 0)
} catch (error) {
  // Not covered.
  if (!(error instanceof SystemError) || error.errno !== EINVAL) throw error
}
await import('./main.ts')
