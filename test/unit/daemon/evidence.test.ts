/** Which endpoints are given up without a call of the engine: what its list and the links say, and how often. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ifName } from '../../../drivers/names.ts'
import { facts as lanFacts } from '../../support/child.ts'
import { created, scene, type Scene } from '../../support/evidence.ts'
import { createEndpoint, createNetwork, endpointId, networkId } from '../../support/house.ts'

const ids = { NetworkID: networkId, EndpointID: endpointId }

const count = ({ house }: Scene): number => house.records.endpoints().length

test('evidence: a joined endpoint lives as long as its link', () =>
  scene(async here => {
    await created(here)
    await here.watch.lookAtLinks()
    assert.is(count(here), 1, 'created: its link is looked at by nobody')
    await here.handlers.join({ ...ids, SandboxKey: '/run/docker/netns/x', Options: {} })
    here.links.add(ifName('wv', endpointId))
    await here.watch.lookAtLinks()
    assert.is(count(here), 1)
    here.links.clear()
    await here.watch.lookAtLinks()
    assert.is(count(here), 0)
  }))

const lan = { driver: 'macvlan', facts: { links: lanFacts.links } }

async function joinedOnLan({ handlers }: Scene): Promise<void> {
  await handlers.createNetwork(createNetwork({ generic: { parent: 'eth0' } }))
  await handlers.createEndpoint(createEndpoint())
  await handlers.join({ ...ids, SandboxKey: '/run/docker/netns/x', Options: {} })
}

test('evidence: a link that went to a container and whose namespace is nowhere: the engine decides', () =>
  scene(async here => {
    await joinedOnLan(here)
    here.listed = { [networkId]: [endpointId] }
    await here.watch.lookAtLinks()
    await here.pass(30)
    assert.is(count(here), 1)
    here.listed = { [networkId]: [] }
    await here.pass(2)
    assert.is(count(here), 1, 'one look is no evidence')
    await here.pass(2)
    assert.is(count(here), 0)
  }, lan))

test('evidence: a link that nobody fetched for a minute, and without a namespace, is dead', () =>
  scene(async here => {
    await joinedOnLan(here)
    here.links.add(ifName('wc', endpointId))
    here.listed = { [networkId]: [endpointId] }
    await here.pass(58)
    await here.watch.lookAtLinks()
    assert.is(count(here), 1)
    await here.pass(2)
    await here.watch.lookAtLinks()
    assert.is(count(here), 0)
  }, lan))

test('evidence: a link that is back when the turn comes keeps its endpoint', () =>
  scene(async here => {
    await created(here)
    await here.handlers.join({ ...ids, SandboxKey: '/run/docker/netns/x', Options: {} })
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const busy = here.house.lanes.run(networkId, () => promise)
    const look = here.watch.lookAtLinks()
    await new Promise(setImmediate)
    here.links.add(ifName('wv', endpointId))
    resolve(undefined)
    await Promise.all([busy, look])
    assert.is(count(here), 1)
  }))

test('evidence: an endpoint that was created, and that the engine does not list, is given up after two looks', () =>
  scene(async here => {
    await created(here)
    here.listed = { [networkId]: [] }
    await here.pass(4)
    assert.is(count(here), 1, 'one look is no evidence')
    await here.pass(4)
    assert.is(count(here), 0)
  }))

test('evidence: an endpoint that the engine lists stays, however long it is only created', () =>
  scene(async here => {
    await created(here)
    here.listed = { [networkId]: [endpointId] }
    await here.pass(30)
    assert.is(count(here), 1)
  }))

test('evidence: an endpoint that the engine listed between two looks is new to doubt', () =>
  scene(async here => {
    await created(here)
    here.listed = { [networkId]: [] }
    await here.pass(4)
    here.listed = { [networkId]: [endpointId] }
    await here.pass(2)
    here.listed = { [networkId]: [] }
    await here.pass(2)
    assert.is(count(here), 1)
    await here.pass(2)
    assert.is(count(here), 0)
  }))

test('evidence: one that is joined while its turn is awaited stays', () =>
  scene(async here => {
    await created(here)
    here.listed = { [networkId]: [] }
    await here.pass(4)
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const busy = here.house.lanes.run(networkId, () => promise)
    const joined = here.handlers.join({ ...ids, SandboxKey: '/run/docker/netns/x', Options: {} })
    await here.pass(4)
    resolve(undefined)
    await Promise.all([busy, joined])
    await here.pass(2)
    assert.is(count(here), 1)
  }))

test('evidence: a network that the engine does not have is nothing it can speak about', () =>
  scene(async here => {
    await created(here)
    here.listed = { another: [] }
    await here.pass(80)
    assert.is(count(here), 1)
    assert.is(here.house.records.networks().length, 1)
  }))

test('evidence: an engine that does not answer says nothing', () =>
  scene(async here => {
    await created(here)
    here.listed = undefined
    await here.pass(30)
    assert.is(count(here), 1)
  }))

test('evidence: joined, but never moved and without a namespace: after a minute the list decides', () =>
  scene(async here => {
    await created(here)
    await here.handlers.join({ ...ids, SandboxKey: '/run/docker/netns/nowhere', Options: {} })
    here.links.add(ifName('wv', endpointId))
    here.listed = { [networkId]: [] }
    await here.pass(58)
    assert.is(count(here), 1)
    await here.pass(8)
    assert.is(count(here), 0)
  }))

test('evidence: left, and not listed any more: DeleteEndpoint was lost', () =>
  scene(async here => {
    await created(here)
    await here.handlers.join({ ...ids, SandboxKey: '/run/docker/netns/x', Options: {} })
    await here.handlers.leave(ids)
    here.listed = { [networkId]: [] }
    await here.pass(8)
    assert.is(count(here), 0)
  }))

test.run()
