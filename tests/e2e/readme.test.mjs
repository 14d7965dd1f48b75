// The README's TypeScript snippet, in a browser, on a package that `webdnn compile` made.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { bundle } from "../../runtime-ts/build.mjs";
import { launchBrowser } from "./browser.mjs";
import { importInstalled } from "./node_modules_of_runtime.mjs";
import { serve } from "./server.mjs";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));

const MAKE_MODEL = `
import onnx
text = '<ir_version: 10, opset_import: ["" : 21]> relu (float[n, 4] x) => (float[n, 4] y) { y = Relu(x) }'
onnx.save(onnx.parser.parse_model(text), "model.onnx")
`;

test("the README's three lines", async () => {
  const folder = await mkdtemp(join(tmpdir(), "webdnn-readme-"));
  const browser = await launchBrowser();
  try {
    await writeFile(join(folder, "make.py"), MAKE_MODEL);
    await run("python", ["make.py"], { cwd: folder });
    await run("webdnn", ["compile", "model.onnx", "-o", "model", "--shape", "x=1,4"], {
      cwd: folder,
    });
    const readme = await readFile(join(root, "README.md"), "utf8");
    const snippet = /^```ts\n(.*?)^```/ms.exec(readme)?.[1];
    assert(snippet, "the README has no TypeScript snippet");
    const esbuild = await importInstalled("esbuild");
    const { code: script } = await esbuild.transform(`${snippet}\nglobalThis.y = Array.from(y);`, {
      loader: "ts",
    });
    const { code: runtime, worker } = await bundle();
    const { origin, close } = await serve({
      files: {
        "/index.html":
          "<!doctype html><title>README</title><script type=module src=/page.js></script>",
        "/page.js": script.replace('"webdnn"', '"/runtime.js"'),
        "/runtime.js": runtime,
        "/worker.js": worker,
      },
      folders: { "/model/": join(folder, "model") },
    });
    const page = await browser.newPage();
    /** @type {string[]} */
    const errors = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.goto(`${origin}/index.html`);
    await page
      .waitForFunction(() => "y" in globalThis, undefined, { timeout: 30_000 })
      .catch(() => {});
    assert.deepEqual(errors, []);
    assert.deepEqual(await page.evaluate("globalThis.y"), [1, 0, 3, 0]);
    await close();
  } finally {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  }
});
