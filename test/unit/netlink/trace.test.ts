import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { attrs, bytes, frame, list, message, struct, u32 } from '../../../native/netlink/codec.ts'
import { printMessage } from '../../../native/netlink/trace.ts'
import { createBridge, removal } from '../../../native/rtnl/requests.ts'
import { newLink, setLink } from '../../../native/rtnl/link.ts'

test('trace: a message in the words of its table', () => {
  const [birth] = createBridge({ name: 'wb1', alias: 'weft' })
  assert.is(
    printMessage(newLink, birth.bytes),
    'newlink flags=1 change=1 ifname=wb1 linkinfo.kind=bridge linkinfo.data.mcastSnooping=false',
  )
  assert.is(printMessage(setLink, removal.setGroup('wb1', 7).bytes), 'setlink ifname=wb1 group=7')
})

test('trace: bytes and lists', () => {
  const of = message({
    name: 'x',
    type: 1,
    header: struct(4, {}),
    attrs: attrs({ key: [1, bytes], numbers: [2, list(1, u32)] }),
  })
  const sent = frame(of, {}, { key: Uint8Array.of(1, 255), numbers: [5, 6] })
  assert.is(printMessage(of, sent), 'x key=0x01ff numbers.0=5 numbers.1=6')
})

test.run()
