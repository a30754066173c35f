/** What the host needs as long as a network has rules: the tables, and what they and other firewalls must know. */
import type { AcceptRule, Element, Resource } from '../native/kernel/resource.ts'
import { bridgeRulesets } from './bridge/ruleset.ts'
import { forwardingSwitch, type Facts } from './driver.ts'
import { tableName } from './names.ts'

export function planFirewall(facts: Facts): readonly Resource[] {
  return [
    ...bridgeRulesets(facts.marks),
    ...facts.uplinks.flatMap(name => [element('uplinks', name), element('switched', `${name} . ${name}`)]),
    // Forwarding that weft switches on must not open ways between other links, not even for an instant.
    ...facts.forwarded.map(family => element('guarded', family === 4 ? 'ipv4' : 'ipv6')),
    ...facts.forwarded.map(family => forwardingSwitch(family, '1')),
    ...facts.acceptHooks.map((hook): AcceptRule => ({ type: 'accept', ...hook, mark: facts.marks.allowed })),
  ]
}

export function element(set: string, key: string, value?: string): Element {
  return { type: 'element', table: tableName, set, key, ...(value === undefined ? {} : { value }) }
}
