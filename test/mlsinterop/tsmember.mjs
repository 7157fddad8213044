// Members played by ts-mls, with its known faults worked around here.
import {
  createApplicationMessage, createCommit, createGroup, createProposal, decodeMlsMessage, defaultCapabilities, defaultLifetime,
  encodeMlsMessage, generateKeyPackage, generateKeyPackageWithKey, getCiphersuiteFromName, joinGroup, joinGroupExternal, makePskIndex, mlsExporter,
  processPrivateMessage, processPublicMessage, acceptAll, defaultCryptoProvider, ciphersuites, bytesToBase64,
} from 'ts-mls'
import { createGroupInfo } from 'ts-mls/createCommit.js'
import { decodeRatchetTree, encodeRatchetTree } from 'ts-mls/ratchetTree.js'

const names = Object.fromEntries(Object.entries(ciphersuites).map(([name, id]) => [id, name]))
const b64 = (bytes) => Buffer.from(bytes).toString('base64')

// refusesValidTree is the message of the fault that needs an answer from the
// test: it takes valid trees for invalid when the nodes above an unmerged leaf
// have different lists.
export const refusesValidTree = 'non-blank intermediate node must list leaf node in its unmerged_leaves'

function vector(data) {
  const n = data.length
  const head = n < 64 ? [n] : n < 16384 ? [0x40 | (n >> 8), n & 255] : [0x80 | (n >>> 24), (n >> 16) & 255, (n >> 8) & 255, n & 255]
  return new Uint8Array([...head, ...data])
}

function unvector(data) {
  const size = 1 << (data[0] >> 6)
  let n = data[0] & 63
  for (let i = 1; i < size; i++) n = n * 256 + data[i]
  if (data.length !== size + n) throw new Error('external_pub is not one vector')
  return data.slice(size)
}

export async function suite(id) {
  return defaultCryptoProvider.getCiphersuiteImpl(getCiphersuiteFromName(names[id]))
}

const decode = (bytes) => {
  const [message, used] = decodeMlsMessage(bytes, 0)
  if (used !== bytes.length) throw new Error('trailing bytes')
  return message
}

export class TSMember {
  kind = 'ts'

  constructor(cs, name, psks) {
    Object.assign(this, { cs, name, external: Object.fromEntries([...psks].map(([id, psk]) => [bytesToBase64(id), psk])) })
  }

  set(state) {
    this.state = state
    this.active = state.groupActiveState.kind === 'active'
    this.leaf = state.privatePath.leafIndex
    this.epoch = Number(state.groupContext.epoch)
    this.authenticator = b64(state.keySchedule.epochAuthenticator)
    this.treeHash = b64(state.groupContext.treeHash)
  }

  psks() {
    return makePskIndex(this.state, this.external)
  }

  async fresh() {
    const credential = { credentialType: 'basic', identity: new TextEncoder().encode(this.name) }
    if (!this.keys) {
      this.keys = await generateKeyPackage(credential, defaultCapabilities(), defaultLifetime, [], this.cs)
    } else {
      const { publicPackage, privatePackage } = this.keys
      const pair = { signKey: privatePackage.signaturePrivateKey, publicKey: publicPackage.leafNode.signaturePublicKey }
      this.keys = await generateKeyPackageWithKey(credential, defaultCapabilities(), defaultLifetime, [], pair, this.cs)
    }
    return this.keys
  }

  async create(groupId) {
    const { publicPackage, privatePackage } = await this.fresh()
    this.set(await createGroup(groupId, publicPackage, privatePackage, [], this.cs))
  }

  async keyPackage() {
    const { publicPackage } = await this.fresh()
    return encodeMlsMessage({ version: 'mls10', wireformat: 'mls_key_package', keyPackage: publicPackage })
  }

  async join(welcome, tree) {
    const { publicPackage, privatePackage } = this.keys
    const ratchetTree = tree && decodeRatchetTree(tree, 0)[0]
    this.set(await joinGroup(decode(welcome).welcome, publicPackage, privatePackage, makePskIndex(undefined, this.external), this.cs, ratchetTree))
  }

  proposal(p) {
    switch (p.type) {
      case 'add': return { proposalType: 'add', add: { keyPackage: decode(p.keyPackage).keyPackage } }
      case 'remove': return { proposalType: 'remove', remove: { removed: p.leafIndex } }
      case 'psk': return { proposalType: 'psk', psk: { preSharedKeyId: { psktype: 'external', pskId: p.id, pskNonce: crypto.getRandomValues(new Uint8Array(this.cs.kdf.size)) } } }
    }
    throw new Error(`no proposal ${p.type}`)
  }

  async commit(proposals, { isPublic, aad, treeInside }) {
    const { commit, welcome, newState } = await createCommit({ state: this.state, cipherSuite: this.cs, pskIndex: this.psks() }, {
      wireAsPublicMessage: isPublic, extraProposals: proposals.map((p) => this.proposal(p)), ratchetTreeExtension: treeInside, authenticatedData: aad,
    })
    this.set(newState)
    return {
      commit: encodeMlsMessage(commit),
      welcome: welcome && encodeMlsMessage({ version: 'mls10', wireformat: 'mls_welcome', welcome }),
      tree: treeInside ? undefined : encodeRatchetTree(newState.ratchetTree),
    }
  }

  async propose(proposal, isPublic) {
    const { newState, message } = await createProposal(this.state, isPublic, this.proposal(proposal), this.cs)
    this.set(newState)
    return encodeMlsMessage(message)
  }

  // process calls the two halves by itself: ts-mls's own front door forgets
  // the PSKs of what came as a PrivateMessage.
  async process(bytes) {
    const message = decode(bytes)
    if (message.wireformat === 'mls_public_message') {
      const { newState } = await processPublicMessage(this.state, message.publicMessage, this.psks(), this.cs, acceptAll)
      this.set(newState)
      return { kind: 'handshake' }
    }
    const pm = message.privateMessage
    const result = await processPrivateMessage(this.state, pm, this.psks(), this.cs, acceptAll)
    this.set(result.newState)
    return result.kind === 'applicationMessage' ? { kind: 'application', data: result.message, aad: pm.authenticatedData } : { kind: 'handshake' }
  }

  async encrypt(data) {
    const { newState, privateMessage } = await createApplicationMessage(this.state, data, this.cs)
    this.set(newState)
    return encodeMlsMessage({ version: 'mls10', wireformat: 'mls_private_message', privateMessage })
  }

  async exporter(label, context, length) {
    return b64(await mlsExporter(this.state.keySchedule.exporterSecret, label, context, length, this.cs))
  }

  // groupInfo writes external_pub as the vector that RFC 9420, 12.4.3.2, says.
  async groupInfo() {
    const { publicKey } = await this.cs.hpke.deriveKeyPair(this.state.keySchedule.externalSecret)
    const extensions = [
      { extensionType: 'external_pub', extensionData: vector(await this.cs.hpke.exportPublicKey(publicKey)) },
      { extensionType: 'ratchet_tree', extensionData: encodeRatchetTree(this.state.ratchetTree) },
    ]
    const groupInfo = await createGroupInfo(this.state.groupContext, this.state.confirmationTag, this.state, extensions, this.cs)
    return encodeMlsMessage({ version: 'mls10', wireformat: 'mls_group_info', groupInfo })
  }

  // externalJoin takes the inner length off external_pub where ts-mls imports
  // it; everything that is signed stays as it came.
  async externalJoin(bytes, { resync = false } = {}) {
    const { groupInfo } = decode(bytes)
    const pub = groupInfo.extensions.find((e) => e.extensionType === 'external_pub').extensionData
    const importPublicKey = (k) => this.cs.hpke.importPublicKey(k === pub ? unvector(k) : k)
    const cs = { ...this.cs, hpke: { ...this.cs.hpke, importPublicKey } }
    const { publicPackage, privatePackage } = await this.fresh()
    const { publicMessage, newState } = await joinGroupExternal(groupInfo, publicPackage, privatePackage, resync, cs)
    this.set(newState)
    return encodeMlsMessage({ version: 'mls10', wireformat: 'mls_public_message', publicMessage })
  }
}
