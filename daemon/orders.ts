/** Bodies of the admin socket's requests. Throws UserError BAD_REQUEST that names the field. */
import { UserError } from '../plugin-api/answer.ts'
import type { ReleaseWish, ReserveWish } from './view-ipam.ts'

/** No body is no wish. */
export function wantsForce(body: unknown): boolean {
  const force = body === undefined ? false : (fieldsOf(body)['force'] ?? false)
  if (typeof force !== 'boolean') throw new UserError('BAD_REQUEST', 'force: expected true or false')
  return force
}

export function reserveWish(body: unknown): ReserveWish {
  const fields = fieldsOf(body)
  const [mac, note] = [optionalText(fields, 'mac'), optionalText(fields, 'note')]
  return {
    where: textOf(fields, 'where'),
    address: textOf(fields, 'address'),
    ...(mac === undefined ? {} : { mac }),
    ...(note === undefined ? {} : { note }),
  }
}

export function releaseWish(body: unknown): ReleaseWish {
  return { what: textOf(fieldsOf(body), 'what'), force: wantsForce(body) }
}

function fieldsOf(body: unknown): Readonly<Record<string, unknown>> {
  if (typeof body !== 'object' || body === null) throw new UserError('BAD_REQUEST', 'expected an object')
  return body as Readonly<Record<string, unknown>>
}

function optionalText(fields: Readonly<Record<string, unknown>>, name: string): string | undefined {
  return fields[name] === undefined ? undefined : textOf(fields, name)
}

function textOf(fields: Readonly<Record<string, unknown>>, name: string): string {
  const value = fields[name]
  if (typeof value !== 'string' || value === '') throw new UserError('BAD_REQUEST', `${name}: expected a text`)
  return value
}
