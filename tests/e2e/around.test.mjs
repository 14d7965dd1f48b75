// The pixels of a canvas, straight into a package that `webdnn compile` made of a classifier: its label comes out. The command
// and the program are those of docs/around-a-model.md.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { bundle } from "../../runtime-ts/build.mjs";
import { launchBrowser } from "./browser.mjs";
import { importInstalled } from "./node_modules_of_runtime.mjs";
import { serve } from "./server.mjs";

const run = promisify(execFile);
const page = fileURLToPath(new URL("../../docs/around-a-model.md", import.meta.url));

const MAKE_MODEL = `
import onnx
text = '''<ir_version: 10, opset_import: ["" : 21], metadata_props: ["author": "nobody"]>
colours (float[batch, 3, 32, 32] image) => (float[batch, 3] scores)
{ mean = GlobalAveragePool(image) scores = Flatten(mean) }'''
onnx.save(onnx.parser.parse_model(text), "classifier.onnx")
`;
const COLOR = [30, 200, 60];
const [MEAN, STD] = [
  [0.485, 0.456, 0.406],
  [0.229, 0.224, 0.225],
];
/** What a page draws: one colour, and on both sides strips of red, which are cut off. */
const CANVAS = `
globalThis.canvas = document.createElement("canvas");
canvas.width = 64;
canvas.height = 48;
const drawn = canvas.getContext("2d");
drawn.fillStyle = "#f00";
drawn.fillRect(0, 0, 64, 48);
drawn.fillStyle = "rgb(${COLOR.join(" ")})";
drawn.fillRect(6, 0, 52, 48);
`;

/** The probabilities of red, green and blue. */
function expected() {
  const scores = COLOR.map((c, i) => (c / 255 - (MEAN[i] ?? 0)) / (STD[i] ?? 1));
  const powers = scores.map(Math.exp);
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((p) => p / sum);
}

/** @param {string} text @param {string} language */
function snippet(text, language) {
  const found = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "ms").exec(text)?.[1];
  assert(found, `the page has no snippet in ${language}`);
  return found;
}

describe("pixels in, a label out", () => {
  /** @type {string} */
  let folder;
  /** @type {import("playwright-core").Browser} */
  let browser;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "webdnn-around-"));
    browser = await launchBrowser();
    await writeFile(join(folder, "make.py"), MAKE_MODEL);
    await writeFile(join(folder, "labels.txt"), "red\ngreen\nblue\n");
    await run("python", ["make.py"], { cwd: folder });
    await run("sh", ["-c", snippet(await readFile(page, "utf8"), "sh")], { cwd: folder });
  });
  after(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });

  for (const backend of ["wasm", "webgpu"]) {
    test(backend, async () => {
      const program = snippet(await readFile(page, "utf8"), "ts");
      const { transform } = await importInstalled("esbuild");
      const chosen = program
        .replace('"webdnn"', '"/runtime.js"')
        .replace('"/classifier"', `"/classifier", { backends: ["${backend}"] }`);
      const seen = "{ best, values: Array.from(scores_values), metadata: model.metadata }";
      const { code: script } = await transform(`${CANVAS}${chosen}\nglobalThis.seen = ${seen};`, {
        loader: "ts",
      });
      const { code: runtime, worker } = await bundle();
      const { origin, close } = await serve({
        files: {
          "/index.html":
            "<!doctype html><title>a picture</title><script type=module src=/page.js></script>",
          "/page.js": script,
          "/runtime.js": runtime,
          "/worker.js": worker,
        },
        folders: { "/classifier/": join(folder, "dist", "classifier") },
      });
      const tab = await browser.newPage();
      /** @type {string[]} */
      const errors = [];
      tab.on("pageerror", (error) => errors.push(String(error)));
      try {
        await tab.goto(`${origin}/index.html`);
        await tab
          .waitForFunction(() => "seen" in globalThis, undefined, { timeout: 30_000 })
          .catch(() => {});
        assert.deepEqual(errors, []);
        const { best, values, metadata } = /** @type {any} */ (
          await tab.evaluate("globalThis.seen")
        );
        assert.equal(best, "green");
        assert.deepEqual(metadata, { author: "nobody" });
        const wanted = expected()
          .sort((a, b) => b - a)
          .slice(0, 2);
        for (const [i, value] of wanted.entries()) assert(Math.abs(values[i] - value) < 1e-5);
      } finally {
        await tab.close();
        await close();
      }
    });
  }
});
