#!/usr/bin/env node
// Compiles WGSL files in headless Chromium, so by Tint, and reports what it says of them; see USAGE.
import { readFile } from "node:fs/promises";
import { launchBrowser } from "./browser.mjs";
import { serve } from "./server.mjs";

const USAGE = `usage: node check_wgsl.mjs FILE.wgsl...

Prints each message of the compiler as FILE:LINE:COLUMN: TYPE: MESSAGE, makes a pipeline of each entry point, and exits with 1
where a file has an error.`;

/**
 * Runs in the page.
 * @param {{ file: string, source: string }[]} shaders
 */
async function checkInPage(shaders) {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new Error("the browser has no WebGPU adapter");
  const requiredFeatures = ["shader-f16", "subgroups"].filter((name) => adapter.features.has(name));
  const { maxStorageBufferBindingSize, maxBufferSize } = adapter.limits;
  const device = await adapter.requestDevice({
    requiredFeatures,
    requiredLimits: { maxStorageBufferBindingSize, maxBufferSize },
  });
  const messages = [];
  for (const { file, source } of shaders) {
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code: source });
    const info = await module.getCompilationInfo();
    for (const { type, lineNum, linePos, message } of info.messages) {
      messages.push({ file, type, line: lineNum, column: linePos, message });
    }
    const failed = (await device.popErrorScope()) !== null;
    if (failed) continue;
    for (const [, name] of source.matchAll(/@compute[^{]*?\bfn\s+(\w+)/g)) {
      await device
        .createComputePipelineAsync({
          layout: "auto",
          compute: { module, entryPoint: name },
        })
        .catch((error) => {
          messages.push({
            file,
            type: "error",
            line: 0,
            column: 0,
            message: String(error.message),
          });
        });
    }
  }
  return messages;
}

const files = process.argv.slice(2);
if (files.length === 0) {
  console.error(USAGE);
  process.exit(2);
}
const shaders = await Promise.all(
  files.map(async (file) => ({ file, source: await readFile(file, "utf8") })),
);
const server = await serve({ files: { "/index.html": "<!doctype html><title>WGSL</title>" } });
const browser = await launchBrowser();
let failed = false;
try {
  const page = await browser.newPage();
  await page.goto(`${server.origin}/index.html`);
  for (const { file, line, column, type, message } of await page.evaluate(checkInPage, shaders)) {
    console.log(`${file}:${line}:${column}: ${type}: ${message}`);
    failed ||= type === "error";
  }
} finally {
  await browser.close();
  await server.close();
}
console.log(`${files.length} files, ${failed ? "with errors" : "no errors"}`);
process.exit(failed ? 1 : 0);
