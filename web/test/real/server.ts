import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const binary = process.env['SECURELINK'] ?? '';

/** One server of the real binary, in a folder of its own. */
export interface Running {
  readonly url: string;
  readonly tcp: string;
  /** What it wrote, to be read when something fails. */
  log(): string;
  /** Ends the process and starts it again on the same ports and data. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

async function answers(url: string): Promise<void> {
  for (let i = 0; i < 200; i++) {
    try {
      if ((await fetch(url)).ok) return;
    } catch {
      // Not yet.
    }
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`nothing answers at ${url}`);
}

function start(args: string[], collect: (text: string) => void): ChildProcess {
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.setEncoding('utf8').on('data', collect);
  child.stderr.setEncoding('utf8').on('data', collect);
  return child;
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((done) => {
    child.once('exit', () => done());
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), 5_000).unref();
  });
}

/** Starts core and gateway in one process. */
export async function serve(): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), 'securelink-web-'));
  const [web, tcp] = [await freePort(), await freePort()];
  let log = '';
  const run = async () => {
    const child = start(['serve', '--data', join(folder, 'data'), '--web', `127.0.0.1:${web}`, '--listen', `127.0.0.1:${tcp}`], (text) => (log += text));
    await answers(`http://127.0.0.1:${web}/readyz`);
    return child;
  };
  let child = await run();
  return {
    url: `http://127.0.0.1:${web}`,
    tcp: `127.0.0.1:${tcp}`,
    log: () => log,
    restart: async () => {
      await end(child);
      child = await run();
    },
    stop: async () => {
      await end(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
