import { expect, test } from "vitest";
import { Checksum } from "../src/checksum.js";
import { ChecksumError, load } from "../src/index.js";
import { Xxh32 } from "../src/xxh32.js";
import { BASE, rejection, served, xxh32 } from "./helpers.js";

/** A file of so many bytes, and its entry in a manifest. */
function made(bytes: number) {
  const content = Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + (i >> 8)) & 255);
  return { content, file: { file: "f", bytes, xxh32: xxh32(content) } };
}

const SIZES = [0, 1, 3, 4, 15, 16, 17, 31, 32, 1000, 1024, 100_003];

test.each(SIZES)("the sum of %d bytes is that of another implementation", (bytes) => {
  const { content, file } = made(bytes);
  const sum = new Xxh32();
  sum.add(content);
  expect(sum.digest()).toBe(file.xxh32);
});

test.each(SIZES)("the sum of %d bytes that come in steps", (bytes) => {
  const { content, file } = made(bytes);
  for (const step of [1, 3, 500]) {
    const sum = new Checksum(file, "f", content);
    for (let filled = 0; filled < bytes; filled += step) sum.advance(filled);
    sum.check();
  }
  for (const at of [0, bytes >> 1, bytes - 1].filter((i) => i >= 0 && i < bytes)) {
    const wrong = content.slice();
    wrong[at] = (wrong[at] as number) ^ 1;
    expect(() => new Checksum(file, "f", wrong).check()).toThrow(ChecksumError);
  }
});

test("words that are not aligned", () => {
  const { content, file } = made(1000);
  for (const at of [1, 2, 3]) {
    const moved = new Uint8Array(1000 + at);
    moved.set(content, at);
    new Checksum(file, "f", moved.subarray(at)).check();
  }
});

test("memory that threads share is summed too", () => {
  const { content, file } = made(1000);
  const shared = new Uint8Array(new SharedArrayBuffer(1000));
  shared.set(content);
  new Checksum(file, "f", shared).check();
});

test("load fails if any byte of a shard is wrong, and names the file", async () => {
  for (const at of [0, 300, 599]) {
    const { made: tampered, fetch } = await served();
    const content = tampered.files.get("wasm/weights-0.bin") as Uint8Array;
    content[at] = (content[at] as number) ^ 1;
    const error = await rejection(load(BASE, { backends: ["wasm"], fetch }));
    expect(error).toMatchObject({ code: "checksum-mismatch" });
    expect(String(error)).toContain("weights-0.bin");
    await load(BASE, { backends: ["wasm"], fetch, verify: false });
  }
});

test("an abort in the middle of a shard ends the download", async () => {
  const { fetch } = await served();
  const controller = new AbortController();
  let cancelled = false;
  const stalled: typeof fetch = Object.assign(
    async (url: string, init: { signal: AbortSignal }) => {
      const response = await fetch(url, init);
      if (!url.endsWith("weights-1.bin")) return response;
      const body = new ReadableStream({
        type: "bytes",
        start: (stream) => {
          stream.enqueue(new Uint8Array(8));
          init.signal.addEventListener("abort", () => {
            cancelled = true;
            stream.error(init.signal.reason);
          });
        },
      });
      return new Response(body);
    },
    fetch,
  );
  const loading = rejection(
    load(BASE, { backends: ["wasm"], fetch: stalled, signal: controller.signal }),
  );
  await new Promise((resolve) => setTimeout(resolve, 50));
  controller.abort("bored");
  expect(await loading).toMatchObject({ code: "aborted", cause: "bored" });
  expect(cancelled).toBe(true);
});
