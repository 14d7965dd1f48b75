import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ChecksumError, DownloadError } from "../src/index.js";
import { Reader } from "../src/reader.js";
import { FileReading, type FromReader, type ToReader } from "../src/reading.js";
import type { Thread } from "../src/wasm/thread.js";
import { rejection, xxh32 } from "./helpers.js";

const fake = vi.hoisted(() => ({
  /** The bytes of a piece. */
  piece: 256,
  /** What goes wrong with the next worker. */
  trouble: "" as "" | "refused" | "missing",
  started: 0,
  terminated: 0,
}));

/** A worker on this thread: messages are cloned, and buffers go over, as between threads. */
vi.mock("../src/wasm/thread.js", () => ({
  startThread: (onMessage: (message: FromReader) => void, onLoss: (why: string) => void) => {
    if (fake.trouble === "refused") throw new Error("refused");
    fake.started++;
    let isAlive = true;
    const later = (work: () => void): void => void setTimeout(() => isAlive && work());
    const reading = new FileReading((message, transfer) => {
      const sent = structuredClone(message, { transfer });
      later(() => onMessage(sent));
    }, fake.piece);
    const isMissing = fake.trouble === "missing";
    if (isMissing) later(() => onLoss("404"));
    const thread: Thread<ToReader> = {
      post: (message, transfer = []) => {
        const sent = structuredClone(message, { transfer });
        if (!isMissing) later(() => reading.obey(sent));
      },
      terminate: () => {
        isAlive = false;
        fake.terminated++;
      },
      keepsAlive: () => undefined,
    };
    return thread;
  },
}));

const content = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7) & 255);
const FILE = { file: "f", bytes: content.length, xxh32: xxh32(content) };
const never = new AbortController().signal;

/** Serve this body in chunks of 100 bytes. */
function serve(bytes: Uint8Array, status = 200): void {
  vi.stubGlobal("fetch", async () => {
    let at = 0;
    const pull = (stream: ReadableByteStreamController): void => {
      if (at < bytes.length) {
        stream.enqueue(bytes.slice(at, at + 100));
        at += 100;
      } else {
        stream.close();
        stream.byobRequest?.respond(0);
      }
    };
    const body = new ReadableStream({ type: "bytes", pull });
    return new Response(body, { status, statusText: "so it is" });
  });
}

beforeEach(() => {
  Object.assign(fake, { trouble: "", started: 0, terminated: 0 });
});

afterEach(() => {
  vi.unstubAllGlobals();
});

test.each([
  ["own", (bytes: number) => new ArrayBuffer(bytes)],
  ["shared", (bytes: number) => new SharedArrayBuffer(bytes)],
] as const)(
  "a worker reads files into %s memory, one after the other and at once",
  async (_, make) => {
    serve(content);
    const reader = new Reader(true);
    for (const count of [1, 3]) {
      let read = 0;
      const target = new Uint8Array(make(3000 + 8));
      const files = Array.from({ length: count }, (_, i) =>
        reader.into(FILE, "f", target.subarray(8 + i * 1000, 1008 + i * 1000), never, (bytes) => {
          read += bytes;
        }),
      );
      expect(await Promise.all(files)).toEqual(files.map(() => true));
      for (let i = 0; i < count; i++) {
        expect(target.slice(8 + i * 1000, 1008 + i * 1000)).toEqual(content);
      }
      expect(read).toBe(count * 1000);
    }
    expect(fake.started).toBe(1);
    reader.close();
    expect(fake.terminated).toBe(1);
  },
);

test("many more pieces than buffers", async () => {
  const large = new Uint8Array(fake.piece * 200).fill(3);
  serve(large);
  const target = new Uint8Array(large.length);
  const file = { ...FILE, bytes: large.length };
  expect(await new Reader(false).into(file, "f", target, never, () => undefined)).toBe(true);
  expect(target).toEqual(large);
});

test("files are asked for at once, and come in the order in which they are wanted", async () => {
  serve(content);
  const answer = globalThis.fetch;
  const asked: string[] = [];
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  vi.stubGlobal("fetch", async (url: string) => {
    asked.push(url);
    if (url === "first") await held;
    return answer(url);
  });
  const reader = new Reader(true);
  const arrived: string[] = [];
  const files = ["first", "second"].map((url) =>
    reader.into(FILE, url, new Uint8Array(1000), never, (count) => {
      arrived.push(count > 0 ? url : `${url} was asked for`);
    }),
  );
  await vi.waitFor(() => expect(asked).toEqual(["first", "second"]));
  await vi.waitFor(() => expect(arrived).toEqual(asked.map((url) => `${url} was asked for`)));
  release();
  expect(await Promise.all(files)).toEqual([true, true]);
  expect(arrived.slice(2)).toEqual(["first", "second"].flatMap((url) => Array(4).fill(url)));
});

test("a file that cannot be had does not hold up the next one", async () => {
  serve(content);
  const answer = globalThis.fetch;
  vi.stubGlobal("fetch", async (url: string) => {
    if (url === "first") throw new TypeError("offline");
    return answer(url);
  });
  const reader = new Reader(true);
  const into = (url: string) =>
    reader.into(FILE, url, new Uint8Array(1000), never, () => undefined);
  const [first, second] = [rejection(into("first")), into("second")];
  expect(await first).toMatchObject({ code: "download-failed", message: "first: offline" });
  expect(await second).toBe(true);
});

test.each([
  ["shorter", content.subarray(0, 900), 200, ChecksumError, "has 900 bytes, not 1000 bytes"],
  ["longer", new Uint8Array(1300), 200, ChecksumError, "has more than 1000 bytes"],
  ["another one", new Uint8Array(1000), 200, ChecksumError, "its XXH32 is"],
  ["missing", content, 404, DownloadError, "f: the server answered 404 so it is"],
] as const)("a file that is %s is an error", async (_, body, status, kind, message) => {
  for (const buffer of [new ArrayBuffer(1000), new SharedArrayBuffer(1000)]) {
    serve(body, status);
    const reading = new Reader(true).into(
      FILE,
      "f",
      new Uint8Array(buffer),
      never,
      () => undefined,
    );
    const error = await rejection(reading);
    expect(error).toBeInstanceOf(kind);
    expect(String(error)).toContain(message);
  }
});

test("what the caller throws when told of bytes is an error of the file", async () => {
  serve(content);
  const tell = (): void => {
    throw new Error("no");
  };
  const error = await rejection(
    new Reader(true).into(FILE, "f", new Uint8Array(1000), never, tell),
  );
  expect(error).toMatchObject({ code: "download-failed", message: "f: no" });
});

test("an abort ends the worker, and the next file gets a new one", async () => {
  serve(content);
  const reader = new Reader(true);
  const controller = new AbortController();
  const target = new Uint8Array(1000);
  const abort = (): void => controller.abort();
  const error = await rejection(reader.into(FILE, "f", target, controller.signal, abort));
  expect(error).toMatchObject({ code: "download-failed" });
  expect(fake.terminated).toBe(1);
  expect(await reader.into(FILE, "f", target, never, () => undefined)).toBe(true);
  expect(fake.started).toBe(2);
});

test.each(["refused", "missing"] as const)(
  "a worker that is %s leaves the files to the page",
  async (trouble) => {
    fake.trouble = trouble;
    const reader = new Reader(true);
    for (let i = 0; i < 2; i++) {
      expect(await reader.into(FILE, "f", new Uint8Array(1000), never, () => undefined)).toBe(
        false,
      );
    }
  },
);

test("so does a body that cannot be read into a buffer", async () => {
  vi.stubGlobal("fetch", async () => ({ ok: true, body: new ReadableStream() }));
  const reader = new Reader(true);
  expect(await reader.into(FILE, "f", new Uint8Array(1000), never, () => undefined)).toBe(false);
});
