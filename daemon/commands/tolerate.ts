/** The result of `work`, or undefined when it fails with one of the listed codes (`ENOENT`). */
export async function tolerating<T>(codes: readonly string[], work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && codes.includes(String(cause.code))) return undefined
    throw cause
  }
}
