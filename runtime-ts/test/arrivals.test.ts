import { expect, test } from "vitest";
import type { BackendContext } from "../src/backend.js";
import type { FileRef, WasmSection } from "../src/manifest.js";
import { Arrivals } from "../src/wasm/arrivals.js";
import { rejection } from "./helpers.js";

/** Weights of shards of these sizes on their way, and what the downloader is asked for. */
function arriving(memory: { buffer: ArrayBufferLike }, sizes: readonly number[]) {
  const shards = sizes.map((bytes, i): FileRef => ({ file: `${i}`, bytes, xxh32: "" }));
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  const asked: { file: string; offset: number }[] = [];
  const begin: (() => void)[] = [];
  const finish: (() => void)[] = [];
  const fail: ((error: Error) => void)[] = [];
  const into = (
    { file, bytes }: FileRef,
    target: Uint8Array,
    _: AbortSignal,
    onBytes: (count: number) => void,
  ): Promise<void> => {
    asked.push({ file, offset: target.byteOffset });
    expect(target.length).toBe(bytes);
    return new Promise((resolve, reject) => {
      begin.push(() => onBytes(0));
      finish.push(() => {
        onBytes(bytes);
        resolve();
      });
      fail.push(reject);
    });
  };
  const section = { weights: { offset: 64, bytes, shards } } as unknown as WasmSection;
  const signal = new AbortController().signal;
  const context = { downloader: { into }, signal, onBytes: () => undefined };
  const arrivals = new Arrivals(
    section,
    memory as WebAssembly.Memory,
    context as unknown as BackendContext,
  );
  return { arrivals, asked, begin, finish, fail };
}

const soon = () => new Promise((resolve) => setTimeout(resolve));

test("one shard is read while the next is asked for", async () => {
  const { arrivals, asked, finish } = arriving(
    { buffer: new ArrayBuffer(564) },
    Array(5).fill(100),
  );
  for (let done = 0; done < 5; done++) {
    expect(asked).toHaveLength(Math.min(done + 2, 5));
    expect(arrivals.has(done * 100)).toBe(true);
    expect(arrivals.has(done * 100 + 1)).toBe(false);
    finish[done]?.();
    await soon();
  }
  await arrivals.complete;
  expect(asked).toEqual([0, 1, 2, 3, 4].map((i) => ({ file: `${i}`, offset: 64 + i * 100 })));
});

test("a shard that comes before the one in front of it does not count yet", async () => {
  const { arrivals, finish } = arriving({ buffer: new ArrayBuffer(164) }, [60, 40]);
  finish[1]?.();
  expect(arrivals.has(1)).toBe(false);
  finish[0]?.();
  expect(arrivals.has()).toBe(true);
  expect(arrivals.isComplete).toBe(false);
  await arrivals.complete;
  expect(arrivals.isComplete).toBe(true);
});

test("no more shards are asked for after one that cannot be had", async () => {
  const { arrivals, asked, finish, fail } = arriving(
    { buffer: new ArrayBuffer(364) },
    [100, 100, 100],
  );
  const waiting = rejection(arrivals.until(50));
  const error = new Error("no");
  fail[0]?.(error);
  expect(await waiting).toBe(error);
  finish[1]?.();
  await soon();
  expect(asked).toHaveLength(2);
  expect(await rejection(arrivals.complete)).toBe(error);
});

test("they have begun as soon as the first file has been asked for, or cannot be had", async () => {
  const begun = arriving({ buffer: new ArrayBuffer(164) }, [60, 40]);
  let isTold = false;
  begun.arrivals.begun.then(() => {
    isTold = true;
  });
  await soon();
  expect(isTold).toBe(false);
  begun.begin[0]?.();
  await soon();
  expect(isTold).toBe(true);
  expect(begun.arrivals.has(1)).toBe(false);
  const failing = arriving({ buffer: new ArrayBuffer(164) }, [60, 40]);
  failing.fail[0]?.(new Error("no network"));
  expect(await rejection(failing.arrivals.begun)).toEqual(new Error("no network"));
});
