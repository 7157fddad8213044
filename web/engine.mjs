// Builds the engine for the browser, as small as it goes: without the code that
// only servers and other implementations need (the tag browser), without
// inlining where speed is elsewhere, and with its data in one piece.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

// Inlining makes the packages that decide and print half as large again and no
// faster: the time goes into cryptography, which keeps it.
const module = 'github.com/securelink-chat/securelink/...';
const cold = [module, 'fmt', 'internal/fmtsort'].map((name) => `-gcflags=${name}=-l`);

/** Build cmd/securelink-wasm into a file. */
export function buildEngine(file) {
  execFileSync('go', ['build', '-trimpath', '-tags=browser', '-ldflags=-s -w', ...cold, '-o', file, './cmd/securelink-wasm'], {
    cwd: new URL('..', import.meta.url).pathname,
    env: { ...process.env, GOOS: 'js', GOARCH: 'wasm', CGO_ENABLED: '0' },
    stdio: 'inherit',
  });
  writeFileSync(file, joinData(readFileSync(file)));
}

const dataSection = 11;
const customSection = 0;
const i32Const = 0x41;
const end = 0x0b;

/** Zeros between two segments that are cheaper to write out than to skip. */
const gap = 1024;

/**
 * Joins the data segments of a module. Go's linker cuts its data at every eight
 * zeros, into a hundred thousand segments, whose offsets do not compress: joined,
 * the same memory is 110 KiB less to load, and is laid out by one copy.
 * Names and other custom sections are dropped.
 */
export function joinData(wasm) {
  const parts = [wasm.subarray(0, 8)];
  for (let at = 8; at < wasm.length; ) {
    const reader = new Reader(wasm, at + 1);
    const size = reader.unsigned();
    const next = reader.at + size;
    if (wasm[at] === dataSection) {
      const body = writeSegments(joined(readSegments(reader)));
      parts.push(Buffer.concat([Buffer.from([dataSection]), unsigned(body.length), body]));
    } else if (wasm[at] !== customSection) {
      parts.push(wasm.subarray(at, next));
    }
    at = next;
  }
  return Buffer.concat(parts);
}

function readSegments(reader) {
  return Array.from({ length: reader.unsigned() }, () => {
    if (reader.byte() !== 0 || reader.byte() !== i32Const) throw new Error('a data segment of another kind than Go writes');
    const offset = reader.signed();
    if (reader.byte() !== end) throw new Error('a data segment whose offset is no constant');
    return { offset, bytes: reader.bytes(reader.unsigned()) };
  });
}

/** Neighbours become one, with the zeros between them: memory begins as zeros. */
function joined(segments) {
  const groups = [];
  let reached = 0;
  for (const segment of segments.toSorted((a, b) => a.offset - b.offset)) {
    if (segment.offset < reached) throw new Error('data segments overlap');
    const last = groups.at(-1);
    if (last && segment.offset - reached <= gap) last.push(segment);
    else groups.push([segment]);
    reached = segment.offset + segment.bytes.length;
  }
  return groups.map((group) => {
    const offset = group[0].offset;
    const last = group.at(-1);
    const bytes = Buffer.alloc(last.offset + last.bytes.length - offset);
    for (const segment of group) bytes.set(segment.bytes, segment.offset - offset);
    return { offset, bytes };
  });
}

function writeSegments(segments) {
  const parts = [unsigned(segments.length)];
  for (const { offset, bytes } of segments) {
    parts.push(Buffer.from([0, i32Const]), signed(offset), Buffer.from([end]), unsigned(bytes.length), bytes);
  }
  return Buffer.concat(parts);
}

/** Reads the numbers of a module (LEB128). */
class Reader {
  constructor(data, at) {
    this.data = data;
    this.at = at;
  }
  byte() {
    return this.data[this.at++];
  }
  bytes(n) {
    this.at += n;
    return this.data.subarray(this.at - n, this.at);
  }
  unsigned() {
    return this.signed(true) >>> 0;
  }
  signed(plain = false) {
    let value = 0;
    let shift = 0;
    let byte;
    do {
      byte = this.byte();
      value |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte & 0x80);
    return !plain && shift < 32 && byte & 0x40 ? value | (-1 << shift) : value;
  }
}

function unsigned(value) {
  const out = [];
  for (; value > 0x7f; value >>>= 7) out.push((value & 0x7f) | 0x80);
  return Buffer.from([...out, value]);
}

/** Of a number that is not negative. */
function signed(value) {
  const out = [];
  for (; value > 0x3f; value >>>= 7) out.push((value & 0x7f) | 0x80);
  return Buffer.from([...out, value]);
}
