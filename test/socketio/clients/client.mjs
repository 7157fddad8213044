// npm's socket.io-client against the conformance server: every transport, what
// clients do with it, and what stays when they leave. Prints one line a check
// and ends with 1 if one failed.
import assert from "node:assert/strict";
import { io, Manager } from "socket.io-client";

const url = process.argv[2];
const rounds = Number(process.argv[3] ?? 300);

/** Resolves with the arguments of the next event, or fails in 10 s. */
function next(emitter, event) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} in 10 s`)), 10_000);
    emitter.once(event, (...args) => {
      clearTimeout(timer);
      resolve(args);
    });
  });
}

function open(transports, options = {}, namespace = "/") {
  return io(url + namespace, { transports, reconnection: false, forceNew: true, ...options });
}

async function opened(transports, options, namespace) {
  const socket = open(transports, options, namespace);
  socket.opening = next(socket, "auth");
  await Promise.race([socket.opening, next(socket, "connect_error").then(([e]) => Promise.reject(e), () => {})]);
  return socket;
}

const transportSets = { websocket: ["websocket"], polling: ["polling"], upgrade: ["polling", "websocket"] };

const checks = {
  async "auth payload reaches the application"(transports) {
    const socket = await opened(transports, { auth: { token: "123" } });
    assert.deepEqual(await socket.opening, [{ token: "123" }]);
    assert.notEqual(socket.id, socket.io.engine.id);
    socket.close();
  },

  async "events keep their arguments"(transports) {
    const socket = await opened(transports);
    const values = [1, Number.MAX_SAFE_INTEGER, 0.5, "ä\u0000😀", null, true, [], {}, { a: [{ b: "c" }] }];
    const back = next(socket, "message-back");
    socket.emit("message", ...values);
    assert.deepEqual(await back, values);
    socket.close();
  },

  async "bytes anywhere, both ways"(transports) {
    const socket = await opened(transports);
    const one = Buffer.from([0, 1, 2, 255]);
    const values = [one, "x", { deep: [one, Buffer.alloc(0)] }, Buffer.alloc(100_000, 7)];
    const back = next(socket, "message-back");
    socket.emit("message", ...values);
    assert.deepEqual(await back, values);
    assert.deepEqual(await socket.emitWithAck("message-with-ack", one), one);
    socket.close();
  },

  async "acknowledgements both ways"(transports) {
    const socket = await opened(transports);
    assert.equal(await socket.timeout(5000).emitWithAck("message-with-ack", "x"), "x");
    socket.on("question", (text, reply) => reply(text, Buffer.from("y")));
    const answer = next(socket, "answer-was");
    socket.emit("ask-me", "why");
    assert.deepEqual(await answer, ["why", Buffer.from("y")]);
    await assert.rejects(socket.timeout(50).emitWithAck("nobody"), /timed out/);
    socket.close();
  },

  async "order under load"(transports) {
    const socket = await opened(transports);
    const total = 1000;
    const seen = [];
    const all = new Promise((resolve) =>
      socket.on("message-back", (i, bytes) => {
        assert.equal(bytes === undefined, i % 7 !== 0);
        if (seen.push(i) === total) resolve();
      }),
    );
    for (let i = 0; i < total; i++) {
      if (i % 7 === 0) socket.emit("message", i, Buffer.from([i & 255]));
      else socket.emit("message", i);
      if (i % 100 === 0) await new Promise((r) => setTimeout(r, 5)); // so that an upgrade comes amid it
    }
    await Promise.race([all, new Promise((_, no) => setTimeout(() => no(new Error(`${seen.length} of ${total}`)), 20_000))]);
    assert.deepEqual(seen, Array.from({ length: total }, (_, i) => i));
    const wanted = transports.at(-1);
    if (socket.io.engine.transport.name !== wanted) await next(socket.io.engine, "upgrade");
    assert.equal(socket.io.engine.transport.name, wanted);
    socket.close();
  },

  async "namespaces on one connection"(transports) {
    const manager = new Manager(url, { transports, reconnection: false });
    const root = manager.socket("/");
    const custom = manager.socket("/custom", { auth: { a: 1 } });
    assert.deepEqual(await next(custom, "auth"), [{ a: 1 }]);
    custom.disconnect();
    assert.equal(await root.emitWithAck("message-with-ack", 1), 1);
    const unknown = manager.socket("/unknown");
    const [error] = await next(unknown, "connect_error");
    assert.equal(error.message, "Invalid namespace");
    const guarded = manager.socket("/guarded", { auth: { token: "wrong" } });
    const [refused] = await next(guarded, "connect_error");
    assert.equal(refused.message, "not authorized");
    assert.deepEqual(refused.data, { code: "E_AUTH" });
    guarded.auth = { token: "letmein" };
    guarded.connect();
    assert.deepEqual(await next(guarded, "auth"), [{ token: "letmein" }]);
    root.disconnect();
    guarded.disconnect();
    manager._close();
  },

  async "ends from the server"(transports) {
    const socket = await opened(transports);
    socket.emit("kick-me");
    assert.equal((await next(socket, "disconnect"))[0], "io server disconnect");
    socket.connect(); // the connection has stayed, or comes again
    await next(socket, "auth");
    socket.emit("drop-me");
    assert.equal((await next(socket, "disconnect"))[0], "io server disconnect");
    socket.close();
  },

  async "heartbeats hold the connection"(transports) {
    const socket = await opened(transports);
    let pings = 0;
    socket.io.on("ping", () => pings++);
    await new Promise((r) => setTimeout(r, 1200));
    assert.ok(socket.connected && pings >= 2, `connected ${socket.connected}, ${pings} pings`);
    socket.close();
  },

  async "reconnects by itself"(transports) {
    const socket = await opened(transports, { reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 20 });
    const first = socket.id;
    const again = next(socket, "auth");
    socket.io.engine.close();
    await again;
    assert.notEqual(socket.id, first);
    assert.equal(await socket.emitWithAck("message-with-ack", 2), 2);
    socket.close();
  },

  async "many come and go"(transports) {
    for (let i = 0; i < rounds; i += 10) {
      const sockets = await Promise.all(Array.from({ length: 10 }, () => opened(transports)));
      await Promise.all(sockets.map((s, n) => s.emitWithAck("message-with-ack", n)));
      for (const [n, s] of sockets.entries()) {
        if (n % 2) s.close();
        else s.io.engine.transport.close(); // without a farewell
      }
    }
  },
};

let failed = 0;
for (const [set, transports] of Object.entries(transportSets)) {
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check(transports);
      console.log(`ok   ${set}: ${name}`);
    } catch (error) {
      failed++;
      console.log(`FAIL ${set}: ${name}\n${error.stack}`);
    }
  }
}
process.exit(failed ? 1 : 0);
