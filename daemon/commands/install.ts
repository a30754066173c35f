import { mkdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { unitName, unitPath, unitText, wantedBy, type UnitSettings } from '../unit.ts'
import type { Command } from './command.ts'
import { inside, stepwise, thisMachine, type Machine } from './machine.ts'
import { placeSpecs, specsFor } from './specs.ts'
import { tolerating } from './tolerate.ts'

const checkout = dirname(dirname(import.meta.dirname))

export const install: Command = {
  run: (context, options) =>
    stepwise(context, async say => {
      const { config } = options
      const machine = thisMachine(options, say)
      await placeSpecs(machine, specsFor(options))
      await installUnit(machine, config === undefined ? { checkout } : { checkout, config })
    }),
}

/** May be repeated: a unit that stands is left alone, and one that differs is written again. */
export async function installUnit(machine: Machine, settings: UnitSettings): Promise<void> {
  const text = unitText(settings)
  const path = inside(machine, unitPath)
  const before = await tolerating(['ENOENT'], () => readFile(path, 'utf8'))
  if (before === text) machine.say(`${unitPath} stands already`)
  else {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text, { mode: 0o644 })
    machine.say(`wrote ${unitPath}`)
  }
  if (!machine.systemctl) {
    for (const unit of wantedBy) await link(machine, unit)
    machine.say(`systemd does not run here: ${unitName} starts with the machine`)
    return
  }
  machine.systemctl('daemon-reload')
  machine.systemctl('enable', unitName)
  // Traffic does not notice a restart.
  machine.systemctl(before === undefined || before === text ? 'start' : 'restart', unitName)
  machine.say(`${unitName} is enabled and runs: see weft status`)
}

/** What `systemctl enable` does, for machines that are being built. */
async function link(machine: Machine, unit: string): Promise<void> {
  const path = wantsLink(unit)
  const target = join('..', unitName)
  if ((await tolerating(['ENOENT'], () => readlink(inside(machine, path)))) === target) return
  await mkdir(dirname(inside(machine, path)), { recursive: true })
  await symlink(target, inside(machine, path))
  machine.say(`enabled ${unitName} for ${unit}`)
}

/** Where the wish of a unit for weft stands. */
export function wantsLink(unit: string): string {
  return `${dirname(unitPath)}/${unit}.wants/${unitName}`
}
