import { createHash } from "node:crypto";
import { afterEach, expect, test, vi } from "vitest";
import { Checksum } from "../src/checksum.js";
import { ChecksumError, load } from "../src/index.js";
import { BASE, rejection, served } from "./helpers.js";

afterEach(() => {
  vi.restoreAllMocks();
});

const sha256 = (content: Uint8Array): Buffer => createHash("sha256").update(content).digest();

/** A file of so many bytes, and its entry in a manifest. */
function made(bytes: number, piece?: number) {
  const content = Uint8Array.from({ length: bytes }, (_, i) => (i * 7) & 255);
  const sums: Buffer[] = [];
  for (let at = 0; piece && at < bytes; at += piece)
    sums.push(sha256(content.subarray(at, at + piece)));
  const sum = sha256(piece ? Buffer.concat(sums) : content).toString("hex");
  return { content, file: { file: "f", bytes, sha256: sum, ...(piece && { piece }) } };
}

test.each([
  [0, undefined],
  [1000, undefined],
  [0, 256],
  [1, 256],
  [256, 256],
  [1000, 256],
  [1024, 256],
])("the sum of %d bytes in pieces of %s", async (bytes, piece) => {
  const { content, file } = made(bytes, piece);
  for (const steps of [1, 3, 500]) {
    const sum = new Checksum(file, "f", content);
    for (let filled = 0; filled < bytes; filled += steps) await sum.advance(filled);
    await sum.check();
  }
  for (const at of [0, bytes >> 1, bytes - 1].filter((i) => i >= 0 && i < bytes)) {
    const wrong = content.slice();
    wrong[at] = (wrong[at] as number) ^ 1;
    expect(await rejection(new Checksum(file, "f", wrong).check())).toBeInstanceOf(ChecksumError);
  }
});

test("pieces in another order are wrong", async () => {
  const { content, file } = made(512, 256);
  content.set(content.slice().subarray(256).fill(1), 0);
  expect(await rejection(new Checksum(file, "f", content).check())).toBeInstanceOf(ChecksumError);
});

test("memory that threads share is hashed too", async () => {
  const { content, file } = made(1000, 256);
  const shared = new Uint8Array(new SharedArrayBuffer(1000));
  shared.set(content);
  await new Checksum(file, "f", shared).check();
});

test("pieces are hashed before the file is whole", async () => {
  const { content, file } = made(1000, 256);
  const digest = vi.spyOn(crypto.subtle, "digest");
  const sum = new Checksum(file, "f", content);
  await sum.advance(255);
  expect(digest).toHaveBeenCalledTimes(0);
  await sum.advance(513);
  expect(digest).toHaveBeenCalledTimes(2);
});

test("load fails if any piece of a shard is wrong, and names the file", async () => {
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
