import { expect, test } from 'vitest';
import { joinData } from '../../engine.mjs';

/** A module that exports a memory of two pages and fills it with segments. */
function module(segments: [number[], number[]][], extra: number[] = []): Uint8Array<ArrayBuffer> {
  const data = segments.flatMap(([offset, bytes]) => [0, 0x41, ...offset, 0x0b, bytes.length, ...bytes]);
  const section = (id: number, body: number[]) => [id, (body.length & 0x7f) | 0x80, body.length >> 7, ...body];
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(5, [1, 0, 2]),
    ...section(7, [1, 1, 0x6d, 2, 0]),
    ...section(11, [segments.length, ...data]),
    ...extra,
  ]);
}

async function memory(wasm: Uint8Array): Promise<Uint8Array> {
  const { instance } = await WebAssembly.instantiate(new Uint8Array(wasm));
  return new Uint8Array((instance.exports['m'] as WebAssembly.Memory).buffer);
}

/** Small, large (three bytes as LEB128) and unsorted offsets. */
const segments: [number[], number[]][] = [
  [[0x80, 0xfd, 0x03], [9, 8, 7]], // 65,152
  [[0], [1, 2]],
  [[0x0a], [3]],
  [[0x3f], [4, 5]],
  [[0xc1, 0], [6]], // 65
];

test('the memory of a module is the same when its segments are joined', async () => {
  const before = module(segments);
  const after = joinData(before);
  expect(await memory(after)).toEqual(await memory(before));
  expect(after.length, 'five heads became two').toBeLessThan(before.length + 60);
  expect((await memory(after)).subarray(62, 67)).toEqual(new Uint8Array([0, 4, 5, 6, 0]));
  expect((await memory(after))[65_154]).toBe(7);
});

test('custom sections go, and joining twice changes nothing', () => {
  const after = joinData(module(segments, [0, 3, 1, 0x78, 0]));
  expect(after).toEqual(joinData(module(segments)));
  expect(joinData(after)).toEqual(after);
});

test('segments that overlap are refused', () => {
  expect(() => joinData(module([[[0], [1, 2]], [[1], [3]]]))).toThrow('overlap');
});
