#!/usr/bin/env node
// Runs the program of docs/from-webdnn-1.md, as it stands there, in headless Chromium; see USAGE.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundle, bundleClassic } from "../../runtime-ts/build.mjs";
import { launchBrowser } from "./browser.mjs";
import { serve } from "./server.mjs";

const USAGE = `usage: node run_first_program.mjs <folder> --backend webgpu|wasm [--timeout SECONDS]

The folder holds output/, which webdnn compile wrote, and input_image.png. Prints what the program printed and found, loaded
as a module and by a script tag: [{backend, printed, probabilities}, ...].`;

const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; img-src 'self'";
const DOCS = new URL("../../docs/from-webdnn-1.md", import.meta.url);

/** What the page does once its program is there. */
const DRIVER = `
globalThis.finished = (async () => {
  const printed = [];
  console.log = (...told) => printed.push(told);
  await init();
  await run();
  return { backend: runner.backendName, printed, probabilities: Array.from(probabilities.toActual()) };
})().catch((error) => ({ error: String(error) }));
`;

/**
 * @param {string} folder
 * @param {"webgpu" | "wasm"} backend
 * @param {number} timeout in seconds
 */
async function runProgram(folder, backend, timeout) {
  const docs = await readFile(DOCS, "utf8");
  const program = /^```js\n(.*?)^```/ms.exec(docs)?.[1];
  if (!program) throw new Error("docs/from-webdnn-1.md has no program");
  const [importLine] = /^import .*\n/.exec(program) ?? [""];
  const [{ code, worker }, classic] = await Promise.all([bundle(), bundleClassic()]);
  const page = (/** @type {string} */ scripts) => `<!doctype html><title>v1</title>${scripts}`;
  const server = await serve({
    files: {
      "/module.html": page("<script type=module src=module.js></script>"),
      "/module.js": program.replace('"webdnn/classic"', '"./classic.js"') + DRIVER,
      "/script.html": page("<script src=webdnn.js></script><script src=script.js></script>"),
      "/script.js": program.slice(importLine.length) + DRIVER,
      ...{ "/index.js": code, "/classic.js": classic.code },
      ...{ "/webdnn.js": classic.script, "/worker.js": worker, "/favicon.ico": "" },
    },
    folders: { "/output/": join(folder, "output"), "/": folder },
    policy: POLICY,
  });
  // Without WebGPU the program, which asks for nothing, is given WebAssembly.
  const browser = await launchBrowser({ webgpu: backend === "webgpu" });
  try {
    const results = [];
    for (const name of ["module", "script"]) {
      const tab = await browser.newPage();
      tab.setDefaultTimeout(timeout * 1000);
      await tab.goto(`${server.origin}/${name}.html`);
      await tab.waitForFunction(() => "finished" in globalThis);
      const result = /** @type {any} */ (await tab.evaluate("globalThis.finished"));
      if (result.error) throw new Error(`${name}: ${result.error}`);
      results.push(result);
      await tab.close();
    }
    return results;
  } finally {
    await browser.close();
    await server.close();
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { backend: { type: "string" }, timeout: { type: "string", default: "600" } },
});
const [folder] = positionals;
const { backend } = values;
if (folder === undefined || (backend !== "webgpu" && backend !== "wasm")) {
  console.error(USAGE);
  process.exitCode = 2;
} else {
  try {
    console.log(JSON.stringify(await runProgram(folder, backend, Number(values.timeout))));
  } catch (error) {
    console.error(`run_first_program: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}
