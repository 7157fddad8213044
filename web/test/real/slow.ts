import { connect, createServer, type Socket } from 'node:net';
import type { Browser } from 'playwright-core';

/** A line of a given speed between a browser and a server. */
export interface Line {
  readonly port: number;
  /** What has come down it so far, in bytes. */
  down(): number;
  close(): Promise<void>;
}

/** Does one thing after the other, each at its time at the earliest. */
function inOrder(): (at: number, act: () => void) => void {
  const queue: { at: number; act: () => void }[] = [];
  const turn = () => {
    while (queue[0] && queue[0].at <= performance.now()) queue.shift()?.act();
    if (queue[0]) setTimeout(turn, Math.max(queue[0].at - performance.now(), 1));
  };
  return (at, act) => {
    if (queue.push({ at, act }) === 1) setTimeout(turn, Math.max(at - performance.now(), 0));
  };
}

/**
 * Stands between browser and server: half a round trip each way, one more round
 * trip before the first byte of a connection, and a rate that everything on the
 * way down shares. Unlike the browser's own emulation it slows the worker's
 * requests and sockets too.
 */
export function line(to: number, roundTripMS: number, bitsPerSecond: number): Promise<Line> {
  let total = 0;
  let free = 0; // when the line is free again
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1');
    const opened = performance.now() + roundTripMS;
    for (const socket of [near, far]) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => open.delete(socket));
    }
    const up = inOrder();
    const down = inOrder();
    near.on('data', (bytes) => up(Math.max(performance.now(), opened) + roundTripMS / 2, () => far.write(bytes)));
    near.on('end', () => up(Math.max(performance.now(), opened) + roundTripMS / 2, () => far.end()));
    far.on('data', (bytes) => {
      total += bytes.length;
      // In small pieces, so that connections share the line and do not take turns.
      for (let at = 0; at < bytes.length; at += 4096) {
        const piece = bytes.subarray(at, at + 4096);
        free = Math.max(free, performance.now()) + (piece.length * 8000) / bitsPerSecond;
        down(free + roundTripMS / 2, () => near.write(piece));
      }
      // What is on its way is bounded, as a window bounds it.
      far.pause();
      setTimeout(() => far.resume(), Math.max(free - roundTripMS - performance.now(), 0));
    });
    far.on('end', () => down(Math.max(free, performance.now()) + roundTripMS / 2, () => near.end()));
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve({
        port: typeof address === 'object' && address ? address.port : 0,
        down: () => total,
        close: () =>
          new Promise((done) => {
            for (const socket of open) socket.destroy();
            server.close(() => done());
          }),
      });
    });
  });
}

/**
 * Lets a browser's renderers, all their threads and workers included, run one
 * part in `times` of the time. The browser's own throttling slows the page's
 * main thread and no worker. Linux only. Returns what ends it.
 */
export async function slowed(browser: Browser, times: number): Promise<() => void> {
  const session = await browser.newBrowserCDPSession();
  const run = 5;
  let renderers: number[] = [];
  let ended = false;
  const all = (signal: 'SIGSTOP' | 'SIGCONT') => {
    for (const pid of renderers) {
      try {
        process.kill(pid, signal);
      } catch {
        // It has ended.
      }
    }
  };
  const look = async () => {
    const { processInfo } = await session.send('SystemInfo.getProcessInfo');
    renderers = processInfo.filter((one) => one.type === 'renderer').map((one) => one.id);
  };
  await look();
  const looking = setInterval(() => void look().catch(() => undefined), 50);
  // The parts are counted by the clock: a timer that is late must not change the share.
  let since = performance.now();
  let stopped = false;
  const turn = () => {
    if (ended) return;
    const now = performance.now();
    const length = now - since;
    since = now;
    stopped = !stopped;
    all(stopped ? 'SIGSTOP' : 'SIGCONT');
    setTimeout(turn, stopped ? length * (times - 1) : run);
  };
  setTimeout(turn, run);
  return () => {
    ended = true;
    clearInterval(looking);
    all('SIGCONT');
    void session.detach().catch(() => undefined);
  };
}
