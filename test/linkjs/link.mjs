// The secure link's client side, written from doc/link.md alone: the section
// numbers are that text's. It shares no code with the Go implementation.
import * as crypto from 'node:crypto'
import { CipherSuite, ExportOnly, HkdfSha256 } from '@hpke/core'
import { XWing } from '@hpke/hybridkem-x-wing'

const ZERO = Buffer.from([0])
const ascii = (text) => Buffer.from(text, 'ascii')
const cat = (...parts) => Buffer.concat(parts)

export const u8 = (n) => Buffer.from([n])
export const u16 = (n) => { const b = Buffer.alloc(2); b.writeUInt16BE(n); return b }
export const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b }
export const u64 = (n) => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(n)); return b }

export const sha256 = (...parts) => crypto.createHash('sha256').update(cat(...parts)).digest()
export const hmac = (key, ...parts) => crypto.createHmac('sha256', key).update(cat(...parts)).digest()
const equal = (a, b) => a.length === b.length && crypto.timingSafeEqual(a, b)

// HKDF (RFC 5869), since Node's does only both halves at once.
export const extract = (salt, ikm) => hmac(salt, ikm)
export function expand (prk, info, length) {
  let block = Buffer.alloc(0)
  let out = block
  for (let i = 1; out.length < length; i++) {
    block = hmac(prk, block, info, u8(i))
    out = cat(out, block)
  }
  return out.subarray(0, length)
}

// Refused is the one error for whatever does not open or fit.
export class Refused extends Error {}
// WrongPin says that another server answered.
export class WrongPin extends Refused {}

// Section 2: sealed boxes.
export class Box {
  constructor (k, label) {
    this.label = ascii(label)
    const keys = expand(extract(Buffer.alloc(32), k), this.label, 64)
    this.enc = keys.subarray(0, 32)
    this.mac = keys.subarray(32)
  }

  tag (aad, sealed) {
    return hmac(this.mac, this.label, ZERO, u64(aad.length), aad, sealed)
  }

  seal (plaintext, aad, iv = crypto.randomBytes(16)) {
    const cipher = crypto.createCipheriv('aes-256-cbc', this.enc, iv)
    const sealed = cat(iv, cipher.update(plaintext), cipher.final())
    return cat(sealed, this.tag(aad, sealed))
  }

  open (box, aad) {
    if (box.length < 64 || box.length % 16 !== 0) throw new Refused('box')
    const sealed = box.subarray(0, box.length - 32)
    if (!equal(this.tag(aad, sealed), box.subarray(box.length - 32))) throw new Refused('box')
    const decipher = crypto.createDecipheriv('aes-256-cbc', this.enc, sealed.subarray(0, 16))
    try {
      return cat(decipher.update(sealed.subarray(16)), decipher.final())
    } catch {
      throw new Refused('box')
    }
  }
}

export const chunkAAD = (file, index, last) => cat(file, u64(index), u8(last ? 1 : 0))

// Section 6: records. One Direction seals or opens those of one direction.
export const DATA = 1
export const REKEY = 2
export const CLOSE = 3
export const TICKET = 4

const padTo = (n) => n <= 4096 ? Math.ceil(n / 256) * 256 : Math.ceil(n / 4096) * 4096

export class Direction {
  constructor (direction, k) {
    this.direction = direction
    this.phase = 0
    this.seq = 0n
    this.use(k)
  }

  use (k) {
    this.k = k
    this.box = new Box(k, 'SecureLink/1 record')
    this.inPhase = 0
  }

  rekey () {
    this.use(expand(this.k, ascii('SecureLink/1 rekey'), 32))
    this.phase++
  }

  aad () {
    return cat(u8(this.direction), u32(this.phase), u64(this.seq))
  }

  counted () {
    this.seq++
    this.inPhase++
  }

  seal (type, payload = Buffer.alloc(0)) {
    const plain = Buffer.alloc(padTo(5 + payload.length))
    cat(u8(type), u32(payload.length), payload).copy(plain)
    const frame = this.box.seal(plain, this.aad())
    this.counted()
    if (type === REKEY) this.rekey()
    return frame
  }

  open (frame) {
    const plain = this.box.open(frame, this.aad())
    if (plain.length < 5) throw new Refused('record')
    const type = plain[0]
    const length = plain.readUInt32BE(1)
    if (5 + length > plain.length || padTo(5 + length) !== plain.length) throw new Refused('record')
    const payload = plain.subarray(5, 5 + length)
    if (plain.subarray(5 + length).some((b) => b !== 0)) throw new Refused('record')
    const fits = { [DATA]: length > 0, [REKEY]: length === 0 && this.inPhase > 0, [CLOSE]: length === 0, [TICKET]: length === 64 && this.direction === 2 }
    if (!fits[type]) throw new Refused('record')
    this.counted()
    if (type === REKEY) this.rekey()
    return { type, payload }
  }
}

// Section 4: the server's keys.
const ed25519 = (raw) => crypto.createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') }, format: 'jwk' })
const verify = (pk, message, sig) => crypto.verify(null, message, ed25519(pk), sig)

export function parseCert (cert) {
  return {
    epoch: cert.readBigUInt64BE(0),
    online: cert.subarray(8, 40),
    notAfter: cert.readBigUInt64BE(40),
    signed: cert.subarray(0, 48),
    sig: cert.subarray(48, 112)
  }
}

// Section 5 and 7: the handshake.
const xwing = () => new CipherSuite({ kem: new XWing(), kdf: new HkdfSha256(), aead: new ExportOnly() })
const buffer = (b) => b.buffer.slice(b.byteOffset, b.byteOffset + b.length)

// ClientHandshake makes a hello and finishes with the server's answer. pin and
// ticket ({ id, psk }) are optional; keys replaces the fresh ones, for vectors.
export class ClientHandshake {
  static async start ({ pin, ticket, now = BigInt(Math.floor(Date.now() / 1000)), minEpoch = 0n, keys } = {}) {
    const h = new ClientHandshake()
    Object.assign(h, { pin, ticket, now, minEpoch })
    if (keys) {
      h.ch = keys.ch
      h.rsa = keys.rsa
      h.xwing = await xwing().kem.importKey('raw', buffer(keys.xwingSeed), false)
      return h
    }
    const pair = await xwing().kem.generateKeyPair()
    h.xwing = pair.privateKey
    const publicKey = Buffer.from(await xwing().kem.serializePublicKey(pair.publicKey))
    const random = crypto.randomBytes(32)
    const wanted = pin ?? Buffer.alloc(32)
    let hello
    if (ticket) {
      hello = cat(u16(0x0102), u16(1), random, ticket.id, wanted, publicKey)
    } else {
      const rsa = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 })
      h.rsa = rsa.privateKey
      const modulus = Buffer.from(rsa.publicKey.export({ format: 'jwk' }).n, 'base64url')
      hello = cat(u16(0x0101), u8(1), u16(1), random, wanted, modulus, publicKey)
    }
    h.ch = cat(hello, Buffer.alloc(2048 - hello.length))
    return h
  }

  async finish (frame) {
    const resumed = this.ticket !== undefined
    if (frame.length !== (resumed ? 1396 : 1652)) throw new Refused('hello')
    if (frame.readUInt16BE(0) !== (resumed ? 0x0102 : 0x0101) || frame.readUInt16BE(2) !== 1) throw new Refused('hello')
    const sig = frame.subarray(frame.length - 96, frame.length - 32)
    const sfin = frame.subarray(frame.length - 32)
    const unsigned = frame.subarray(0, frame.length - 96)
    const root = frame.subarray(36, 68)
    if (this.pin && !equal(sha256(root), this.pin)) throw new WrongPin('pin')
    const cert = parseCert(frame.subarray(68, 180))
    const certified = cat(ascii('SecureLink/1 online key'), ZERO, root, cert.signed)
    if (!verify(root, certified, cert.sig) || this.now >= cert.notAfter || cert.epoch < this.minEpoch) throw new Refused('cert')

    const th = sha256(ascii(resumed ? 'SecureLink/1 th resumed' : 'SecureLink/1 th'), ZERO,
      u32(this.ch.length), this.ch, u32(unsigned.length), unsigned)
    if (!verify(cert.online, cat(ascii('SecureLink/1 core handshake'), ZERO, th), sig)) throw new Refused('signature')

    const bound = (label) => cat(ascii(label), ZERO, sha256(this.ch))
    let first
    if (resumed) {
      first = this.ticket.psk
    } else {
      try {
        first = crypto.privateDecrypt({
          key: this.rsa, padding: crypto.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256', oaepLabel: bound('SecureLink/1 rsa')
        }, frame.subarray(180, 436))
      } catch {
        throw new Refused('legs')
      }
    }
    const enc = unsigned.subarray(unsigned.length - 1120)
    let k2
    try {
      const context = await xwing().createRecipientContext({ recipientKey: this.xwing, enc: buffer(enc), info: buffer(bound('SecureLink/1 xwing')) })
      k2 = Buffer.from(await context.export(buffer(ascii('k2')), 32))
    } catch {
      throw new Refused('legs')
    }
    if (first.length !== 32) throw new Refused('legs')

    const prk = extract(th, cat(ascii(resumed ? 'SecureLink/1 resumed' : 'SecureLink/1 hybrid'), ZERO, u16(32), first, u16(32), k2))
    const key = (name) => expand(prk, ascii(`SecureLink/1 ${name}`), 32)
    const keys = { c2s: key('c2s'), s2c: key('s2c'), c2sFin: key('c2s.fin'), s2cFin: key('s2c.fin'), exporter: key('exporter'), resume: key('resume') }
    if (!equal(sfin, hmac(keys.s2cFin, ascii('server'), th, sig))) throw new Refused('finish')
    return { th, first, k2, keys, root, epoch: cert.epoch, cfin: hmac(keys.c2sFin, ascii('client'), th, sig, sfin) }
  }
}

export const ticketPSK = (resume, nonce) => expand(resume, cat(ascii('SecureLink/1 ticket'), ZERO, nonce), 32)
