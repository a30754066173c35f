declare const brand: unique symbol

/** A 48-bit hardware address, lower case, colons: `02:42:ac:11:00:02`. */
export type Mac = string & { readonly [brand]: 'Mac' }

/** Canonical text, or undefined. Accepts colons or hyphens between the bytes, as Go's net.ParseMAC does. */
export function parseMac(text: string): Mac | undefined {
  if (!/^[0-9a-f]{2}([:-])[0-9a-f]{2}(\1[0-9a-f]{2}){4}$/i.test(text)) return undefined
  return text.toLowerCase().replaceAll('-', ':') as Mac
}

/** A multicast (group) address cannot be a link's own; neither can all zeros. */
export function isUsableMac(mac: Mac): boolean {
  return (macToBytes(mac)[0] ?? 1) % 2 === 0 && mac !== '00:00:00:00:00:00'
}

export function macToBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(':'), byte => parseInt(byte, 16))
}

export function macFromBytes(bytes: Uint8Array): Mac {
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(':') as Mac
}
