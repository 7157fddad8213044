// A random life of a group whose members are half package mls, half ts-mls:
// after every step all of them must agree on epoch authenticator, tree hash
// and an exported secret.
//
//   node interop.mjs MLSPEER [STEPS [SEED]]
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { GoMember, GoPeer } from './peer.mjs'
import { TSMember, refusesValidTree, suite } from './tsmember.mjs'

const [command, stepsArg = '60', seedArg] = process.argv.slice(2)
const steps = Number(stepsArg)
const seed = seedArg === undefined ? randomInt(2 ** 31) : Number(seedArg)
console.log(`seed ${seed}, ${steps} steps a suite`)

// mulberry32: a small generator, so that a seed repeats a run's choices.
function generator(a) {
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const text = (s) => new TextEncoder().encode(s)
const pskID = text('the shared key')
const psks = new Map([[pskID, text('known to all members of both sides')]])
const maxMembers = 9

class Story {
  constructor(peer, id, cs) {
    Object.assign(this, { peer, id, cs, members: [], born: 0, counts: {} })
    this.random = generator(seed ^ id)
  }

  pick(list) {
    return list[Math.floor(this.random() * list.length)]
  }

  chance(p) {
    return this.random() < p
  }

  newcomer(kind = this.pick(['go', 'ts'])) {
    const name = `${kind}-${this.born++}`
    return kind === 'go' ? new GoMember(this.peer, this.id, name, psks) : new TSMember(this.cs, name, psks)
  }

  options() {
    return { isPublic: this.chance(0.5), aad: this.chance(0.5) ? text('beside it') : new Uint8Array(), treeInside: this.chance(0.5), path: this.chance(0.3) }
  }

  count(what) {
    this.counts[what] = (this.counts[what] ?? 0) + 1
    if (what !== 'messages') this.last = what
  }

  async deliver(message, except) {
    for (const m of this.members) {
      if (m === except) continue
      try {
        await m.process(message)
      } catch (error) {
        const list = this.members.map((o) => `${o.name}@${o.leaf}`).join(' ')
        throw new Error(`${m.name} cannot process what ${except?.name ?? 'a joiner'} sent after ${this.last} (members ${list})`, { cause: error })
      }
    }
  }

  // commit by one member, delivered to the others and the joiners. A joiner
  // that refuses a valid tree is taken out again by the next commit.
  async commit(by, proposals, joiners = []) {
    const { commit, welcome, tree } = await by.commit(proposals, this.options())
    await this.deliver(commit, by)
    this.members = this.members.filter((m) => m.active)
    const stuck = []
    for (const joiner of joiners) {
      try {
        await joiner.join(welcome, tree)
        this.members.push(joiner)
      } catch (error) {
        if (joiner.kind !== 'ts' || error.message !== refusesValidTree) throw error
        stuck.push(joiner)
        this.count('ts-mls refused a valid tree')
      }
    }
    if (stuck.length === 0) return
    const inTree = await this.anyGo().members()
    await this.commit(this.pick(this.members), stuck.map((s) => ({ type: 'remove', leafIndex: inTree.find((m) => m.name === s.name).leaf })))
  }

  anyGo() {
    return this.pick(this.members.filter((m) => m.kind === 'go'))
  }

  // removable keeps at least one member of each side.
  removable(by) {
    return this.members.filter((m) => m !== by && this.members.filter((o) => o.kind === m.kind).length > 1)
  }

  async step() {
    const by = this.pick(this.members)
    const room = maxMembers - this.members.length
    switch (this.pick(['add', 'add', 'remove', 'update', 'update', 'psk', 'reference', 'external', 'resync', 'reload', 'mixed'])) {
      case 'add': {
        if (room < 1) return
        const joiners = Array.from({ length: 1 + Math.floor(this.random() * Math.min(room, 3)) }, () => this.newcomer())
        const proposals = []
        for (const j of joiners) proposals.push({ type: 'add', keyPackage: await j.keyPackage() })
        await this.commit(by, proposals, joiners)
        return this.count(`add by ${by.kind}`)
      }
      case 'remove': {
        const target = this.pick(this.removable(by))
        if (!target) return
        await this.commit(by, [{ type: 'remove', leafIndex: target.leaf }])
        return this.count(`remove by ${by.kind}`)
      }
      case 'update':
        await this.commit(by, [])
        return this.count(`update by ${by.kind}`)
      case 'psk':
        await this.commit(by, [{ type: 'psk', id: pskID }])
        return this.count(`psk by ${by.kind}`)
      case 'mixed': {
        const target = this.pick(this.removable(by))
        if (!target || room < 1) return
        const joiner = this.newcomer()
        // ts-mls does not see that it was removed when the joiner takes its leaf.
        if (target.kind === 'ts') this.members = this.members.filter((m) => m !== target)
        await this.commit(by, [{ type: 'remove', leafIndex: target.leaf }, { type: 'add', keyPackage: await joiner.keyPackage() }, { type: 'psk', id: pskID }], [joiner])
        assert.ok(!this.members.includes(target), `${target.name} was removed`)
        return this.count(`remove, add and psk by ${by.kind}`)
      }
      case 'reference': {
        const joiner = room > 0 ? this.newcomer() : undefined
        const proposal = joiner ? { type: 'add', keyPackage: await joiner.keyPackage() } : { type: 'psk', id: pskID }
        await this.deliver(await by.propose(proposal, this.chance(0.5)), by)
        const committer = this.pick(this.members)
        await this.commit(committer, [], joiner ? [joiner] : [])
        return this.count(`reference: ${by.kind} to ${committer.kind}`)
      }
      case 'external': {
        if (room < 1) return
        return this.external(by, this.newcomer())
      }
      case 'resync': {
        const lost = this.pick(this.removable(by))
        if (!lost) return
        return this.external(by, lost, true)
      }
      case 'reload':
        await this.anyGo().reload()
        return this.count('reload')
    }
  }

  async external(by, who, resync = false) {
    const others = this.members.filter((m) => m !== who)
    let commit
    try {
      // ts-mls cannot put PSKs into its own external commits.
      const psk = who.kind === 'go' && this.chance(0.5) ? [...psks][0] : undefined
      if (psk) this.count('external join with a psk')
      commit = await who.externalJoin(await by.groupInfo(), { resync, psk })
    } catch (error) {
      if (who.kind !== 'ts' || error.message !== refusesValidTree) throw error
      return this.count('ts-mls refused a valid tree')
    }
    this.members = others
    await this.deliver(commit)
    this.members.push(who)
    this.count(`${resync ? 'resync' : 'external join'} of ${who.kind} by ${by.kind}'s info`)
  }

  async agree() {
    const [first, ...rest] = this.members
    const secret = await first.exporter('interop', text('context'), 32)
    for (const m of rest) {
      assert.equal(m.epoch, first.epoch, `epoch of ${m.name} and ${first.name}`)
      assert.equal(m.authenticator, first.authenticator, `epoch authenticator of ${m.name} and ${first.name}`)
      assert.equal(m.treeHash, first.treeHash, `tree hash of ${m.name} and ${first.name}`)
      assert.equal(await m.exporter('interop', text('context'), 32), secret)
    }
    const sender = this.pick(this.members)
    const said = text(`said by ${sender.name} in epoch ${sender.epoch}`)
    const message = await sender.encrypt(said)
    for (const m of this.members) {
      if (m === sender) continue
      const got = await m.process(message)
      assert.equal(got.kind, 'application')
      assert.deepEqual([...got.data], [...said])
    }
    this.count('messages')
  }

  async run() {
    const [creator, second] = this.chance(0.5) ? ['go', 'ts'] : ['ts', 'go']
    const first = this.newcomer(creator)
    await first.create(text(`suite ${this.id}`))
    this.members.push(first)
    const joiner = this.newcomer(second)
    await this.commit(first, [{ type: 'add', keyPackage: await joiner.keyPackage() }], [joiner])
    await this.agree()
    for (let i = 0; i < steps; i++) {
      await this.step()
      await this.agree()
    }
    console.log(`suite ${this.id}: ${this.members[0].epoch} epochs, created by ${creator};`, this.counts)
  }
}

const peer = new GoPeer(command)
try {
  const { suites } = await peer.call('hello')
  for (const id of [1, 2, 3, 7, 83]) {
    assert.ok(suites.includes(id), `suite ${id}`)
    await new Story(peer, id, await suite(id)).run()
  }
} finally {
  await peer.close()
}
console.log(`interop: ${5 * steps} steps, all members agreed after each`)
