// Members played by package mls, through mls/mlspeer's line protocol.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const b64 = (bytes) => Buffer.from(bytes).toString('base64')
const bytes = (text) => new Uint8Array(Buffer.from(text ?? '', 'base64'))

// GoPeer is one process; its answers come strictly in order.
export class GoPeer {
  constructor(command) {
    this.child = spawn(command, [], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.waiting = []
    this.requests = 0
    createInterface({ input: this.child.stdout }).on('line', (line) => this.waiting.shift()(JSON.parse(line)))
    this.exited = new Promise((resolve) => this.child.on('exit', resolve))
  }

  async call(cmd, fields = {}) {
    this.requests++
    const answer = await new Promise((resolve, reject) => {
      this.waiting.push(resolve)
      this.exited.then((code) => reject(new Error(`mlspeer ended with ${code}`)))
      this.child.stdin.write(JSON.stringify({ cmd, ...fields }) + '\n')
    })
    if (!answer.ok) throw new Error(`mlspeer ${cmd}: ${answer.error}`)
    return answer
  }

  async close() {
    this.child.stdin.end()
    return this.exited
  }
}

// GoMember is one client in one group. Every method that changes the group
// leaves this.authenticator at the new epoch's.
export class GoMember {
  kind = 'go'

  constructor(peer, suite, name, psks) {
    Object.assign(this, { peer, suite, name, psks: [...psks].map(([id, psk]) => ({ id: b64(id), psk: b64(psk) })) })
  }

  take(answer) {
    this.group = answer.group
    this.leaf = answer.leafIndex
    this.epoch = answer.epoch
    this.active = answer.active === 'active'
    this.authenticator = answer.epochAuthenticator
    this.treeHash = answer.treeHash
    return answer
  }

  async create(groupId) {
    this.take(await this.peer.call('createGroup', { suite: this.suite, identity: this.name, groupId: b64(groupId), psks: this.psks }))
  }

  async keyPackage() {
    const answer = await this.peer.call('newKeyPackage', { suite: this.suite, identity: this.name })
    this.handle = answer.handle
    return bytes(answer.keyPackage)
  }

  async join(welcome, tree) {
    this.take(await this.peer.call('joinWelcome', {
      welcome: b64(welcome), handle: this.handle, psks: this.psks, ...(tree && { ratchetTree: b64(tree) }),
    }))
  }

  async commit(proposals, { isPublic, aad, treeInside, path }) {
    const answer = this.take(await this.peer.call('commit', {
      group: this.group, public: isPublic, aad: b64(aad), tree: treeInside, path,
      proposals: proposals.map((p) => ({ ...p, keyPackage: p.keyPackage && b64(p.keyPackage), id: p.id && b64(p.id) })),
    }))
    return {
      commit: bytes(answer.commit),
      welcome: answer.welcome && bytes(answer.welcome),
      tree: answer.ratchetTree && bytes(answer.ratchetTree),
    }
  }

  async propose(proposal, isPublic) {
    const p = { ...proposal, keyPackage: proposal.keyPackage && b64(proposal.keyPackage), id: proposal.id && b64(proposal.id) }
    return bytes((await this.peer.call('propose', { group: this.group, proposal: p, public: isPublic })).message)
  }

  async process(message) {
    const answer = this.take(await this.peer.call('process', { group: this.group, message: b64(message) }))
    return { kind: answer.kind, data: bytes(answer.data), aad: bytes(answer.aad) }
  }

  async encrypt(data) {
    return bytes((await this.peer.call('encrypt', { group: this.group, data: b64(data) })).message)
  }

  async exporter(label, context, length) {
    return (await this.peer.call('exporter', { group: this.group, label, context: b64(context), length })).secret
  }

  async groupInfo() {
    return bytes((await this.peer.call('exportGroupInfo', { group: this.group })).groupInfo)
  }

  async externalJoin(groupInfo, { resync = false, psk } = {}) {
    const answer = this.take(await this.peer.call('externalJoin', {
      groupInfo: b64(groupInfo), suite: this.suite, identity: this.name, resync,
      psks: psk ? [{ id: b64(psk[0]), psk: b64(psk[1]) }] : [],
    }))
    for (const { id, psk } of this.psks) await this.peer.call('addPsk', { group: this.group, pskId: id, psk })
    return bytes(answer.commit)
  }

  async members() {
    const answer = await this.peer.call('listMembers', { group: this.group })
    return answer.members.map((m) => ({ leaf: m.leafIndex, name: Buffer.from(m.identity64, 'base64').toString() }))
  }

  // reload puts the group through its saved form.
  async reload() {
    const { saved } = await this.peer.call('saveGroup', { group: this.group })
    this.take(await this.peer.call('loadGroup', { saved, psks: this.psks }))
  }
}
