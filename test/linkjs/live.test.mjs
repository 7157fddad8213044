import assert from 'node:assert/strict'
import * as crypto from 'node:crypto'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { ClientHandshake, Refused, WrongPin } from './link.mjs'
import { Frames, Link, Lost } from './tcp.mjs'

// The peer is a Go server that answers every payload with its length and its
// SHA-256, says "bye" and closes when told to "close", and just hangs up at "drop".
let peer, port, pin

before(async () => {
  peer = spawn(process.env.LINKJS_PEER, { stdio: ['pipe', 'pipe', 'inherit'] })
  const [line] = await new Promise((resolve, reject) => {
    const lines = createInterface({ input: peer.stdout })
    lines.once('line', (l) => resolve([l]))
    peer.once('exit', () => reject(new Error('the peer ended')))
  })
  const [p, fingerprint] = line.split(' ')
  port = Number(p)
  pin = Buffer.from(fingerprint, 'hex')
})

after(() => peer.stdin.end()) // which ends it

async function exchange (link, payload) {
  link.write(payload)
  const answer = await link.read()
  assert.equal(answer.readUInt32BE(), payload.length)
  assert.deepEqual(answer.subarray(4), crypto.createHash('sha256').update(payload).digest())
}

test('a link with the Go server, records both ways, rekey, close', async () => {
  const link = await Link.connect(port, { pin })
  for (const n of [1, 251, 252, 4091, 4092, 100_000, 1_000_000]) await exchange(link, crypto.randomBytes(n))
  for (let i = 0; i < 3; i++) {
    link.rekey()
    await exchange(link, Buffer.from(`phase ${i + 1}`))
  }
  link.write(Buffer.from('exporter'))
  assert.deepEqual(await link.read(), link.keys.exporter)
  link.write(Buffer.from('close'))
  assert.equal((await link.read()).toString(), 'bye')
  assert.equal(await link.read(), undefined)
})

test('a connection that is cut is lost', async () => {
  const link = await Link.connect(port, { pin })
  link.write(Buffer.from('drop'))
  await assert.rejects(link.read(), Lost)
})

test('trust on first use', async () => {
  const link = await Link.connect(port, {})
  await exchange(link, Buffer.from('x'))
  link.close()
})

test('another server', async () => {
  const other = Buffer.from(pin)
  other[31] ^= 1
  await assert.rejects(Link.connect(port, { pin: other }), WrongPin)
})

test('resumption: once, with a fresh ticket each time', async () => {
  let link = await Link.connect(port, { pin })
  await exchange(link, Buffer.from('x'))
  for (let i = 0; i < 3; i++) {
    const ticket = link.ticket
    link.close()
    link = await Link.connect(port, { pin, ticket })
    await exchange(link, Buffer.from('resumed'))
    await assert.rejects(Link.connect(port, { pin, ticket }), Lost)
  }
  link.close()
})

test('the server refuses hellos that are not right', async () => {
  const { ch } = await ClientHandshake.start({ pin })
  const answers = async (hello) => {
    const frames = await Frames.dial(port)
    frames.write(hello)
    try {
      return (await frames.read()).length
    } catch (e) {
      assert.ok(e instanceof Lost)
      return 0
    } finally {
      frames.close()
    }
  }
  const changed = (at, to) => { const b = Buffer.from(ch); b[at] = to; return b }
  assert.equal(await answers(ch), 1652)
  assert.equal(await answers(changed(0, 2)), 0, 'version')
  assert.equal(await answers(changed(2, 0)), 0, 'no suites')
  assert.equal(await answers(changed(4, 9)), 0, 'an unknown suite')
  assert.equal(await answers(changed(69, ch[69] & 0x7f)), 0, 'a modulus of 2047 bits')
  assert.equal(await answers(changed(324, ch[324] & 0xfe)), 0, 'an even modulus')
  assert.equal(await answers(changed(2047, 1)), 0, 'padding')
  assert.equal(await answers(ch.subarray(0, 2047)), 0, 'a byte less')
  assert.equal(await answers(Buffer.concat([ch, Buffer.alloc(1)])), 0, 'a byte more')
})

test('the server refuses a wrong finish and a wrong record', async () => {
  for (const flip of ['finish', 'record', undefined]) {
    const frames = await Frames.dial(port)
    const handshake = await ClientHandshake.start({ pin })
    frames.write(handshake.ch)
    const done = await handshake.finish(await frames.read())
    const link = Object.assign(new Link(), { frames, keys: done.keys })
    const { Direction } = await import('./link.mjs')
    link.out = new Direction(1, done.keys.c2s)
    link.in = new Direction(2, done.keys.s2c)
    if (flip === 'finish') done.cfin[0] ^= 1
    frames.write(done.cfin)
    const record = link.out.seal(1, Buffer.from('x'))
    if (flip === 'record') record[50] ^= 1
    frames.write(record)
    if (flip) await assert.rejects(link.read(), (e) => e instanceof Lost || e instanceof Refused, flip)
    else assert.equal((await link.read()).length, 36)
    frames.close()
  }
})
