import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, readSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
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

/** Somebody at a terminal: the line client, with what it printed so far. */
export interface Terminal {
  type(line: string): void;
  shows(text: string): Promise<void>;
  close(): Promise<void>;
}

/** Starts `securelink chat` in a profile of its own, at the server's door for terminals or by a link. */
export function terminal(server: Running, name: string, where = server.tcp): Terminal {
  const home = mkdtempSync(join(tmpdir(), 'securelink-term-'));
  const child = spawn(binary, ['chat', where, '--home', home, '--name', name], { stdio: ['pipe', 'pipe', 'pipe'] });
  let printed = '';
  const more = (text: string) => (printed += text);
  child.stdout.setEncoding('utf8').on('data', more);
  child.stderr.setEncoding('utf8').on('data', more);
  return {
    type: (line) => child.stdin.write(`${line}\n`),
    shows: async (text) => {
      for (let i = 0; i < 1200 && !printed.includes(text); i++) await new Promise((done) => setTimeout(done, 50));
      if (!printed.includes(text)) throw new Error(`the terminal does not show ${JSON.stringify(text)} but:\n${printed}`);
    },
    close: async () => {
      await end(child);
      rmSync(home, { recursive: true, force: true });
    },
  };
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

/** Core and gateway as two processes, with everything between them written down. */
export interface Apart extends Running {
  /** All bytes that passed between gateway and core, both ways. */
  captured(): Buffer;
  /** Whether the gateway's memory holds any of the texts now. */
  remembers(texts: readonly string[]): string[];
}

export async function serveApart(): Promise<Apart> {
  const folder = mkdtempSync(join(tmpdir(), 'securelink-apart-'));
  const [web, tcp, inner, tap] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const data = join(folder, 'data');
  let log = '';
  const chunks: Buffer[] = [];
  const core = start(['core', '--data', data, '--listen', `127.0.0.1:${tcp}`, '--gateway-listen', `127.0.0.1:${inner}`], (text) => (log += text));
  for (let i = 0; i < 200 && !existing(data).includes('gateway-secret'); i++) await new Promise((done) => setTimeout(done, 50));
  const wire = createServer((near) => {
    const far = connect(inner, '127.0.0.1');
    for (const [from, to] of [[near, far], [far, near]] as const) {
      from.on('data', (chunk) => {
        chunks.push(Buffer.from(chunk));
        to.write(chunk);
      });
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
    }
  });
  await new Promise<void>((done) => wire.listen(tap, '127.0.0.1', done));
  const gateway = start(['gateway', '--core', `127.0.0.1:${tap}`, '--listen', `127.0.0.1:${web}`, '--data', data], (text) => (log += text));
  await answers(`http://127.0.0.1:${web}/readyz`);
  return {
    url: `http://127.0.0.1:${web}`,
    tcp: `127.0.0.1:${tcp}`,
    log: () => log,
    captured: () => Buffer.concat(chunks),
    remembers: (texts) => inMemory(gateway.pid ?? 0, texts),
    restart: () => Promise.reject(new Error('not apart')),
    stop: async () => {
      await end(gateway);
      await new Promise((done) => (wire.close(done), wire.unref()));
      await end(core);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function existing(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Which of the texts lie in a process's writable memory, as UTF-8 or UTF-16. Linux only. */
function inMemory(pid: number, texts: readonly string[]): string[] {
  const wanted = texts.flatMap((text) => [Buffer.from(text, 'utf8'), Buffer.from(text, 'utf16le')].map((bytes) => ({ text, bytes })));
  const found = new Set<string>();
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const range = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
      if (!range) continue;
      const [from, to] = [Number.parseInt(range[1] ?? '', 16), Number.parseInt(range[2] ?? '', 16)];
      // Pieces overlap by what a text is long at most.
      for (let at = from; at < to; at += 1 << 20) {
        const piece = Buffer.alloc(Math.min((1 << 20) + 256, to - at));
        let read = 0;
        try {
          read = readSync(memory, piece, 0, piece.length, at);
        } catch {
          continue; // A page that is not there cannot hold anything.
        }
        for (const { text, bytes } of wanted) if (piece.subarray(0, read).includes(bytes)) found.add(text);
      }
    }
  } finally {
    closeSync(memory);
  }
  return [...found];
}
