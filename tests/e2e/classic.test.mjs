// `webdnn/classic` in a browser: images from wherever they come, beside what the first WebDNN made of them, and packages by
// way of the browser's cache.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { bundle, bundleClassic } from "../../runtime-ts/build.mjs";
import { launchBrowser } from "./browser.mjs";
import { PAGE, PAGE_SCRIPT, POLICY } from "./classic_page.mjs";
import { expected, makePackage, sampleInput, writePackage } from "./fixture.mjs";
import { encodePng } from "./png.mjs";
import { serve } from "./server.mjs";

const FIRST = new URL("../../runtime-ts/node_modules/webdnn-v1/dist/webdnn.js", import.meta.url);
/** The size of the picture. */
const [W, H] = [7, 5];
const PIXELS = Uint8ClampedArray.from({ length: 4 * W * H }, (_, k) =>
  k % 4 === 3 ? 255 : (k * 37 + (k >> 3) * 11) % 256,
);

/** @type {string} */
let folder;
/** @type {import("playwright-core").Browser} */
let browser;
/** @type {import("playwright-core").Page} */
let page;
/** @type {Awaited<ReturnType<typeof serve>>} */
let server;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "webdnn-classic-"));
  await writePackage(folder, await makePackage());
  const [{ code, worker }, classic, old] = await Promise.all([
    bundle(),
    bundleClassic(),
    readFile(FIRST, "utf8"),
  ]);
  server = await serve({
    files: {
      ...{ "/": PAGE, "/page.js": PAGE_SCRIPT, "/old.js": old, "/favicon.ico": "" },
      ...{ "/index.js": code, "/worker.js": worker, "/classic.js": classic.code },
      "/script/": "<!doctype html><title>script</title><script src=webdnn.js></script>",
      ...{ "/script/webdnn.js": classic.script, "/script/worker.js": worker },
      "/picture.png": encodePng(W, H, PIXELS),
      // Not opaque, each pixel in another way.
      "/clear.png": encodePng(
        W,
        H,
        PIXELS.map((v, k) => (k % 4 === 3 ? 7 * k : v)),
      ),
    },
    folders: { "/package/": folder },
    policy: POLICY,
  });
  browser = await launchBrowser({ args: ["--autoplay-policy=no-user-gesture-required"] });
  page = await open("/");
  await page.waitForFunction(() => "ready" in globalThis);
});

after(async () => {
  await browser?.close();
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

/** @param {string} path */
async function open(path) {
  const opened = await browser.newPage();
  opened.on("pageerror", (error) => console.error(error));
  await opened.goto(server.origin + path);
  return opened;
}

/**
 * Call a function of the page.
 *
 * @param {string} name
 * @param {...unknown} given
 * @returns {Promise<any>}
 */
function call(name, ...given) {
  return page.evaluate(`${name}(...${JSON.stringify(given)})`);
}

/** The numbers of the picture. @param {number[]} channels @param {"HWC" | "CHW"} [order] */
function numbers(channels, order = "HWC") {
  const pixels = Array.from({ length: W * H }, (_, i) => i);
  const at = (/** @type {number} */ i, /** @type {number} */ c) => Number(PIXELS[4 * i + c]);
  return order === "HWC"
    ? pixels.flatMap((i) => channels.map((c) => at(i, c)))
    : channels.flatMap((c) => pixels.map((i) => at(i, c)));
}

describe("images as arrays", () => {
  for (const source of ["url", "image", "scaled", "canvas", "data"]) {
    test(`of the pixels of: ${source}`, async () => {
      const { values, type } = await call("arrayOf", source, {});
      assert.equal(type, "Float32Array");
      assert.deepEqual(values, numbers([0, 1, 2]));
      const bgr = await call("arrayOf", source, { color: "BGR", order: "CHW", type: "Int32Array" });
      assert.deepEqual(bgr, { type: "Int32Array", values: numbers([2, 1, 0], "CHW") });
    });
  }

  test("of a part of the picture", async () => {
    const { values } = await call("arrayOf", "image", { srcX: 2, srcY: 1, srcW: 3, srcH: 2 });
    const rows = numbers([0, 1, 2]);
    const row = (/** @type {number} */ y) => rows.slice(3 * (W * y + 2), 3 * (W * y + 5));
    assert.deepEqual(values, [...row(1), ...row(2)]);
  });

  test("farther from the corner: there is nothing before", async () => {
    const options = { srcW: 1, srcH: 1, dstX: 2, dstY: 1, color: "RGBA" };
    const { values } = await call("arrayOf", "canvas", options);
    assert.deepEqual(values, [...Array(4 * 5).fill(0), ...PIXELS.subarray(0, 4)]);
  });

  test("of a file input, and of a dialog", async () => {
    assert.equal(await call("fromInput"), "TypeError: no file is selected");
    const file = { name: "a.png", mimeType: "image/png", buffer: encodePng(W, H, PIXELS) };
    await page.setInputFiles("#file", file);
    assert.deepEqual(await call("fromInput"), numbers([0, 1, 2]));
    // A second time: the file is still there.
    assert.deepEqual(await call("fromInput"), numbers([0, 1, 2]));
    const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("#dialog")]);
    await chooser.setFiles(file);
    await page.waitForFunction(() => "chosen" in globalThis);
    assert.deepEqual(await page.evaluate("globalThis.chosen"), numbers([0, 1, 2]));
    const text = { name: "a.png", mimeType: "image/png", buffer: Buffer.from("no picture") };
    await page.setInputFiles("#file", text);
    assert.match(await call("fromInput"), /^DownloadError: blob:.*: cannot be read as an image$/);
  });

  test("of what is none", async () => {
    const { error } = await call("arrayOf", "empty", {});
    assert.equal(error, "RangeError: there are no pixels: 0 x 0");
    assert.match((await call("arrayOf", "nothing", {})).error, /^TypeError|^RangeError/);
  });

  const RECTS = [
    {},
    { dstW: 14, dstH: 10 },
    { dstW: 3, dstH: 4 },
    { srcX: 1, srcY: 2, srcW: 4, srcH: 3 },
    { srcX: 1, srcY: 2, srcW: 4, srcH: 3, dstW: 9, dstH: 8 },
    { srcX: 1, srcY: 1, dstX: 2, dstY: 3 },
    { dstX: 1, dstY: 0, dstW: 20, dstH: 3 },
  ];
  const FORMS = [
    {},
    { color: "BGR", order: "CHW", bias: [1, 2, 3], scale: [4, 5, 6] },
    { color: "GREY", bias: 128, scale: 128 },
    { color: "RGBA", order: "CHW", bias: [1, 2, 3] },
    { color: "BGRA", bias: [1, 2, 3, 4], scale: [2, 2, 2, 4] },
    { type: "Int32Array", bias: [3] },
  ];
  const opaque = ["url", "image", "scaled", "canvas", "data", "video"];
  for (const source of [...opaque, "clear", "clearCanvas", "clearData"]) {
    test(`as the first WebDNN made them: ${source}`, async () => {
      // Of images and videos it took all, whatever srcW and srcH said.
      const isCropped = /canvas|data/i.test(source);
      for (const rect of RECTS.filter((r) => isCropped || !("srcX" in r))) {
        for (const form of FORMS) {
          const options = { ...rect, ...form };
          const [old, ours] = [
            await call("oldArrayOf", source, options),
            await call("arrayOf", source, options),
          ];
          assert.deepEqual(ours, old, `${source} ${JSON.stringify(options)}`);
        }
      }
    });
  }

  for (const source of ["image", "video"]) {
    test(`a part of it, as of a canvas: ${source}`, async () => {
      for (const rect of RECTS.filter((r) => "srcX" in r)) {
        const [wanted, found] = [
          await call("arrayOf", "canvas", rect),
          await call("arrayOf", source, rect),
        ];
        assert.deepEqual(found, wanted, JSON.stringify(rect));
      }
    });
  }
});

describe("arrays as images", () => {
  const RGB = numbers([0, 1, 2]);

  test("are the pixels of the picture", async () => {
    const { pixels } = await call("painted", RGB, [W, H], [W, H], {});
    assert.deepEqual(pixels, [...PIXELS]);
  });

  test("in a place", async () => {
    const place = { dstX: 1, dstY: 2, dstW: W, dstH: H };
    const { pixels } = await call("painted", RGB, [W, H], [W + 2, H + 3], place);
    for (let y = 0; y < H + 3; y++) {
      for (let x = 0; x < W + 2; x++) {
        const isInside = x >= 1 && x < W + 1 && y >= 2 && y < H + 2;
        const from = 4 * ((y - 2) * W + x - 1);
        const wanted = isInside ? [...PIXELS.subarray(from, from + 4)] : [16, 32, 48, 255];
        const found = pixels.slice(4 * (y * (W + 2) + x), 4 * (y * (W + 2) + x + 1));
        assert.deepEqual(found, wanted, `${x}, ${y}`);
      }
    }
  });

  test("a part of it", async () => {
    const part = { srcX: 2, srcY: 1, srcW: 3, srcH: 2 };
    const { pixels } = await call("painted", RGB, [W, H], [3, 2], part);
    const row = (/** @type {number} */ y) => [...PIXELS.subarray(4 * (W * y + 2), 4 * (W * y + 5))];
    assert.deepEqual(pixels, [...row(1), ...row(2)]);
  });

  test("with too few numbers", async () => {
    const { error } = await call("painted", RGB.slice(1), [W, H], [W, H], {});
    assert.equal(error, `RangeError: the image takes ${3 * W * H} numbers, not ${3 * W * H - 1}`);
  });

  test("as the first WebDNN showed them", async () => {
    const forms = [
      { form: { color: "BGR", order: "CHW", bias: [1, 2, 3], scale: [4, 5, 6] }, count: 3 },
      { form: { bias: 128, scale: 0.5 }, count: 3 },
      { form: { color: "RGBA", order: "CHW" }, count: 4 },
      { form: { color: "BGRA" }, count: 4 },
      { form: { color: "GREY", bias: [3], scale: [2] }, count: 1 },
    ];
    for (const { form, count } of forms) {
      const values = Array.from({ length: count * W * H }, (_, i) => (i * 29) % 211);
      for (const rect of [{}, { dstX: 1, dstW: 4, dstH: 9 }]) {
        for (const canvas of [
          [W, H],
          [16, 12],
        ]) {
          const given = [values, [W, H], canvas, { ...form, ...rect }];
          const [old, ours] = [
            await call("painted", ...given, "Old"),
            await call("painted", ...given),
          ];
          assert.deepEqual(ours, old, JSON.stringify([form, rect, canvas]));
        }
      }
    }
  });
});

describe("packages", () => {
  const x = [...sampleInput()];
  const requests = () => {
    const paths = server.served.splice(0).map(({ path }) => path);
    return paths.filter((path) => path.startsWith("/package/")).sort();
  };
  /** @param {{ y: number[] }} result */
  const check = ({ y }) => {
    const wanted = expected(sampleInput());
    assert.equal(y?.length, wanted.length);
    for (const [i, value] of wanted.entries()) assert(Math.abs(value - Number(y[i])) < 1e-4);
  };

  for (const [backendOrder, backend] of [
    [undefined, "webgpu"],
    ["webgl", "webgpu"],
    [["webassembly", "webgpu"], "webassembly"],
    ["fallback", "webassembly"],
  ]) {
    test(`on ${backend}, for ${JSON.stringify(backendOrder)}`, async () => {
      const result = await call("run", "./package", { backendOrder }, x);
      assert.equal(result.backend, backend, result.error);
      check(result);
      assert.equal(result.last[0], result.last[1]);
    });
  }

  test("are read once, and kept by the browser", async () => {
    const options = { backendOrder: "webassembly" };
    await page.evaluate("caches.delete('webdnn')");
    requests();
    const first = await call("run", "./package/", options, x);
    check(first);
    const all = requests();
    assert.deepEqual(
      all.map((path) => path.replace(/relaxed-simd|simd128/, "*")),
      ["model.json", "wasm/*.wasm", "wasm/weights-0.bin", "wasm/weights-1.bin"].map(
        (file) => `/package/${file}`,
      ),
    );
    const second = await call("run", "./package", options, x);
    assert.deepEqual(requests(), ["/package/model.json"]);
    assert.deepEqual(second.y, first.y);
    check(await call("run", "./package", { ...options, cacheStrategy: "cacheOnly" }, x));
    assert.deepEqual(requests(), []);
    check(await call("run", "./package", { ...options, cacheStrategy: "networkFirst" }, x));
    assert.deepEqual(requests(), all);
    await page.context().setOffline(true);
    try {
      for (const cacheStrategy of ["latest", "networkFirst", "cacheFirst", "cacheOnly"]) {
        check(await call("run", "./package", { ...options, cacheStrategy }, x));
      }
      const options_ = { ...options, cacheStrategy: "networkOnly" };
      const { error } = await call("run", "./package", options_, x);
      assert.match(error, /^DownloadError: .*model\.json: Failed to fetch$/);
    } finally {
      await page.context().setOffline(false);
    }
  });

  test("with neither cache nor delegate, the runtime reads by itself", async () => {
    const options = {
      backendOrder: "webassembly",
      cacheStrategy: "networkOnly",
      saveCache: false,
    };
    await page.evaluate("caches.delete('webdnn')");
    check(await call("run", "./package", options, x));
    const kept = await page.evaluate(
      async () => (await (await caches.open("webdnn")).keys()).length,
    );
    assert.equal(kept, 0);
  });

  test("what is not there", async () => {
    const { error } = await call("run", "./nowhere", {}, x);
    assert.match(error, /nowhere\/model\.json: is not there: compile again/);
  });

  test("by a script that sets the global", async () => {
    const other = await open("/script/");
    requests();
    const result = await other.evaluate(async (values) => {
      const { WebDNN } = /** @type {any} */ (globalThis);
      const options = { cacheStrategy: "networkOnly", saveCache: false };
      const runner = await WebDNN.load("../package", { ...options, backendOrder: "webassembly" });
      runner.inputs[0].set(values);
      await runner.run();
      return { y: [...runner.outputs[0]], top: WebDNN.Math.argmax(runner.outputs[0], 2) };
    }, x);
    check(result);
    const y = expected(sampleInput());
    const order = [...y.keys()].sort((a, b) => Number(y[b]) - Number(y[a]));
    assert.deepEqual(result.top, order.slice(0, 2));
    await other.close();
  });
});
