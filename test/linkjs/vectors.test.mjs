import assert from 'node:assert/strict'
import * as crypto from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Box, chunkAAD, ClientHandshake, Direction, REKEY, Refused, parseCert, sha256, ticketPSK } from './link.mjs'

const read = (name) => JSON.parse(readFileSync(new URL(`../../doc/vectors/${name}`, import.meta.url), 'utf8'))
const hex = (s) => Buffer.from(s ?? '', 'hex')

test('sealed boxes', () => {
  const { boxes, refused, chunks } = read('seal.json')
  assert.ok(boxes.length && refused.length && chunks.length)
  for (const v of boxes) {
    const box = new Box(hex(v.key), v.label)
    assert.deepEqual(box.open(hex(v.box), hex(v.aad)), hex(v.plaintext))
    assert.deepEqual(box.seal(hex(v.plaintext), hex(v.aad), hex(v.box).subarray(0, 16)), hex(v.box))
  }
  for (const v of refused) {
    assert.throws(() => new Box(hex(v.key), v.label).open(hex(v.box), hex(v.aad)), Refused, v.why)
  }
  for (const v of chunks) {
    const count = /^count (\d+)$/.exec(v.plaintext)
    const plaintext = count ? Buffer.from({ length: Number(count[1]) }, (_, i) => i) : hex(v.plaintext)
    if (count) plaintext.forEach((_, i) => { plaintext[i] = i % 251 })
    const box = new Box(hex(v.key), v.label).seal(plaintext, chunkAAD(hex(v.file), v.index, v.last), hex(v.iv))
    assert.equal(sha256(box).toString('hex'), v.sha256)
  }
})

const vectors = read('link.json')

async function start (v, resumed) {
  return ClientHandshake.start({
    pin: hex(vectors.pin),
    now: BigInt(vectors.not_after) - 1n,
    minEpoch: BigInt(vectors.epoch),
    ticket: resumed ? { id: hex(vectors.ticket.ticket_id), psk: hex(vectors.ticket.psk) } : undefined,
    keys: {
      ch: hex(v.ch),
      xwingSeed: hex(v.xwing_seed),
      rsa: resumed ? undefined : crypto.createPrivateKey({ key: hex(v.rsa_pkcs8), format: 'der', type: 'pkcs8' })
    }
  })
}

for (const name of ['full', 'resumed']) {
  const v = vectors[name]
  const resumed = name === 'resumed'
  test(`${name} handshake`, async () => {
    const done = await (await start(v, resumed)).finish(hex(v.sh_sfin))
    const got = {
      th: done.th, k2: done.k2, cfin: done.cfin, c2s: done.keys.c2s, s2c: done.keys.s2c, c2s_fin: done.keys.c2sFin,
      s2c_fin: done.keys.s2cFin, exporter: done.keys.exporter, resume: done.keys.resume, [resumed ? 'psk' : 'k1']: done.first
    }
    for (const [field, value] of Object.entries(got)) assert.equal(value.toString('hex'), v[field], field)
    assert.equal(done.root.toString('hex'), vectors.root_pk)
    assert.equal(done.epoch, BigInt(vectors.epoch))
  })

  test(`${name} handshake with each byte of the answer flipped`, async () => {
    const frame = hex(v.sh_sfin)
    const handshake = await start(v, resumed)
    for (let i = 0; i < frame.length; i++) {
      const bad = Buffer.from(frame)
      bad[i] ^= 1
      await assert.rejects(handshake.finish(bad), Refused, `byte ${i}`)
    }
    await handshake.finish(frame)
  })
}

test('server keys', () => {
  assert.equal(sha256(hex(vectors.root_pk)).toString('hex'), vectors.pin)
  const cert = parseCert(hex(vectors.cert))
  assert.equal(cert.notAfter, BigInt(vectors.not_after))
})

test('ticket', () => {
  assert.equal(ticketPSK(hex(vectors.full.resume), hex(vectors.ticket.nonce)).toString('hex'), vectors.ticket.psk)
})

test('records', () => {
  const ways = { 1: new Direction(1, hex(vectors.full.c2s)), 2: new Direction(2, hex(vectors.full.s2c)) }
  let phases = 0
  for (const v of vectors.full.records) {
    const way = ways[v.direction]
    assert.equal(way.phase, v.phase)
    assert.equal(way.seq, BigInt(v.seq))
    const frame = hex(v.frame)
    const bad = Buffer.from(frame)
    bad[bad.length - 1] ^= 1
    assert.throws(() => way.open(bad), Refused)
    const { type, payload } = way.open(frame)
    assert.equal(type, v.type)
    assert.deepEqual(payload, hex(v.payload))
    if (type === REKEY) phases++
  }
  assert.equal(phases, 3)
})
