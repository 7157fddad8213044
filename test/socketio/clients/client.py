"""python-socketio's clients, plain and asyncio, against the conformance server.

Prints one line a check and ends with 1 if one failed.
"""

import asyncio
import logging
import os
import queue
import sys
import time
import traceback

import socketio

logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # aiohttp's sessions that the client leaves open
URL = sys.argv[1]
WAIT = 10


def in_order(engine):
    """Hand on messages as they come: this client's engine starts a thread for
    each, and threads overtake one another, which says nothing of the server."""
    trigger = engine._trigger_event
    engine._trigger_event = lambda event, *args, run_async=False: trigger(event, *args)


def connect(transports, **options):
    """A connected client, and a queue of (event, arguments)."""
    client = socketio.Client(reconnection=False)
    in_order(client.eio)
    seen = queue.Queue()
    for namespace in options.get("namespaces", ["/"]):
        client.on("*", lambda event, *args: seen.put((event, args)), namespace=namespace)
    client.connect(URL, transports=transports, **{"wait_timeout": WAIT, **options})
    return client, seen


def want(seen, event, *args):
    got = seen.get(timeout=WAIT)
    assert got == (event, args), f"received {got!r:.300}, want {event} {args!r:.300}"


def echo(transports):
    client, seen = connect(transports, auth={"token": "123"})
    want(seen, "auth", {"token": "123"})
    values = (1, 2**53 - 1, 0.5, "ä😀", None, True, [], {"a": [1]}, b"\x00\x01\xff", {"deep": [b"x", b""]})
    client.emit("message", values)
    want(seen, "message-back", *values)
    got = client.call("message-with-ack", (b"y", 7), timeout=WAIT)
    assert tuple(got) == (b"y", 7), got
    client.disconnect()


def no_auth(transports):
    client, seen = connect(transports)
    want(seen, "auth", {})
    client.disconnect()


def order(transports):
    client, seen = connect(transports)
    want(seen, "auth", {})
    # Not all at once: this client's pongs wait behind its messages, and the
    # test server's patience is 200 ms.
    for start in range(0, 300, 30):
        for i in range(start, start + 30):
            client.emit("message", (i, bytes([i & 255])) if i % 7 == 0 else i)
        for i in range(start, start + 30):
            want(seen, "message-back", *((i, bytes([i & 255])) if i % 7 == 0 else (i,)))
    client.sleep(1)  # several heartbeats
    assert client.connected
    if transports is None:
        assert client.transport() == "websocket", client.transport()
    client.disconnect()


def namespaces(transports):
    client, seen = connect(transports, namespaces=["/", "/custom"])
    want(seen, "auth", {})
    want(seen, "auth", {})
    assert client.call("message-with-ack", 1, namespace="/", timeout=WAIT) == 1
    client.disconnect()
    try:
        # This client waits out its time although it has been refused.
        connect(transports, namespaces=["/guarded"], auth={"token": "wrong"}, wait_timeout=1)
    except socketio.exceptions.ConnectionError:
        pass
    else:
        raise AssertionError("was let in with a wrong token")
    client, seen = connect(transports, namespaces=["/guarded"], auth={"token": "letmein"})
    want(seen, "auth", {"token": "letmein"})
    client.disconnect()


def questions(transports):
    client, seen = connect(transports)
    client.on("question", lambda text: (text, b"answer"))
    client.emit("ask-me", "why")
    want(seen, "auth", {})
    want(seen, "answer-was", "why", b"answer")
    client.disconnect()


def dropped(transports):
    client, seen = connect(transports)
    client.on("disconnect", lambda: seen.put(("disconnect", ())))
    want(seen, "auth", {})
    client.emit("drop-me")
    want(seen, "disconnect")
    client.disconnect()


async def many(transports):
    async def one(number):
        client = socketio.AsyncClient(reconnection=False)
        await client.connect(URL, transports=transports, wait_timeout=WAIT)
        assert await client.call("message-with-ack", number, timeout=WAIT) == number
        await client.disconnect()

    for start in range(0, 100, 10):
        await asyncio.gather(*(one(start + n) for n in range(10)))


def many_come_and_go(transports):
    asyncio.run(many(transports))


failed = 0
for name, transports in (("websocket", ["websocket"]), ("polling", ["polling"]), ("upgrade", None)):
    for check in (echo, no_auth, order, namespaces, questions, dropped, many_come_and_go):
        try:
            begin = time.monotonic()
            check(transports)
            print(f"ok   {name}: {check.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL {name}: {check.__name__}", flush=True)
            traceback.print_exc(file=sys.stdout)
sys.stdout.flush()
os._exit(1 if failed else 0)
