/**
 * Published ports of the engine's own in bearable time: it publishes one, and the rules that it made for that one are
 * repeated for as many ports as are wanted, in their place. The engine itself takes minutes for thousands, a process for
 * each family of each port included; those are left out, which is to the engine's advantage.
 */
import type { Host } from '../../test/support/lab.ts'

/** `saved`: what iptables-save prints. Every rule for the host's port `first` is there for `count` ports from it on. */
export function repeated(saved: string, first: number, count: number): string {
  const own = new RegExp(`(?<=--dport |:)${first}\\b`, 'g')
  return saved
    .split('\n')
    .flatMap(line => {
      if (!line.includes(`--dport ${first} `)) return [line]
      return Array.from({ length: count }, (_, index) => line.replace(own, String(first + index)))
    })
    .join('\n')
}

/** The port must be published under its own number, for IPv4. Disposal brings the rules back as they were. */
export async function repeatRules(host: Host, first: number, count: number): Promise<AsyncDisposable> {
  const before = await host.run('iptables-save')
  const restore = async (rules: string): Promise<void> => {
    host.write('/run/rules', rules)
    await host.run('iptables-restore /run/rules')
  }
  const rules = repeated(before, first, count)
  const made = rules.split('\n').length - before.split('\n').length
  if (made < count - 1) throw new Error(`the engine has no rule for port ${first}:\n${before}`)
  await restore(`${rules}\n`)
  return { [Symbol.asyncDispose]: () => restore(`${before}\n`) }
}
