// The link over TCP: frames (section 3), and a connection that reads and writes.
import net from 'node:net'
import { once } from 'node:events'
import { ClientHandshake, CLOSE, DATA, Direction, REKEY, Refused, TICKET, ticketPSK, u32 } from './link.mjs'

// Lost says that the connection ended without a close record.
export class Lost extends Error {}

export class Frames {
  constructor (socket) {
    this.socket = socket
    this.held = Buffer.alloc(0)
    this.chunks = socket[Symbol.asyncIterator]()
  }

  static async dial (port) {
    const socket = net.connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new Frames(socket)
  }

  async take (n) {
    while (this.held.length < n) {
      const next = await this.chunks.next().catch(() => ({ done: true }))
      if (next.done) throw new Lost('connection lost')
      this.held = Buffer.concat([this.held, next.value])
    }
    const head = this.held.subarray(0, n)
    this.held = this.held.subarray(n)
    return head
  }

  async read () {
    const length = (await this.take(4)).readUInt32BE()
    if (length === 0 || length > 1 << 20) throw new Refused('frame')
    return this.take(length)
  }

  write (...frames) {
    this.socket.write(Buffer.concat(frames.flatMap((f) => [u32(f.length), f])))
  }

  close () {
    this.socket.destroy()
  }
}

export class Link {
  static async connect (port, options) {
    const frames = await Frames.dial(port)
    try {
      const handshake = await ClientHandshake.start(options)
      frames.write(handshake.ch)
      const done = await handshake.finish(await frames.read())
      frames.write(done.cfin)
      const link = new Link()
      link.frames = frames
      link.keys = done.keys
      link.out = new Direction(1, done.keys.c2s)
      link.in = new Direction(2, done.keys.s2c)
      return link
    } catch (e) {
      frames.close()
      throw e
    }
  }

  write (...payloads) {
    this.frames.write(...payloads.map((p) => this.out.seal(DATA, p)))
  }

  rekey () {
    this.frames.write(this.out.seal(REKEY))
  }

  // read returns the next payload, or undefined after a close record.
  async read () {
    for (;;) {
      const { type, payload } = this.in.open(await this.frames.read())
      if (type === DATA) return payload
      if (type === CLOSE) return undefined
      if (type === TICKET) {
        this.ticket = { id: payload.subarray(0, 32), psk: ticketPSK(this.keys.resume, payload.subarray(32)) }
      }
    }
  }

  close () {
    this.frames.write(this.out.seal(CLOSE))
    this.frames.socket.end()
  }

  abort () {
    this.frames.close()
  }
}
