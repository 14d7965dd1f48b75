// `webdnn demo --serve`: the pictures it writes, and its page in a browser, as a person would use it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { launchBrowser } from "./browser.mjs";

/** Small, because the browser's WebGPU runs on the CPU here. */
const SIZE = "64";

/**
 * @param {string} folder
 * @returns {Promise<{ address: string, stop: () => void }>}
 */
async function startDemo(folder) {
  const demo = spawn("webdnn", ["demo", "--size", SIZE, "-o", folder, "--serve", "--port", "0"], {
    env: { ...process.env, COLUMNS: "200" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface(demo.stdout)) {
    const address = /http:\/\/[\d.:]+\/\S*/.exec(line)?.[0];
    if (address) return { address, stop: () => demo.kill() };
  }
  throw new Error("the demonstration ended before it opened its page");
}

test("the demonstration", async () => {
  const folder = await mkdtemp(join(tmpdir(), "webdnn-demo-"));
  const { address, stop } = await startDemo(folder);
  const browser = await launchBrowser();
  try {
    assert((await stat(join(folder, "style-19.png"))).size > 1000);
    const page = await browser.newPage();
    /** @type {string[]} */
    const problems = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    const settled = () =>
      page.waitForFunction(
        () => /Ready|over/.test(document.querySelector("#status")?.textContent ?? ""),
        undefined,
        { timeout: 120_000 },
      );
    const styled = () =>
      page.$eval("#output", (canvas) => /** @type {HTMLCanvasElement} */ (canvas).toDataURL());
    for (const [backend, name] of [
      ["wasm", "WebAssembly"],
      ["webgpu", "WebGPU"],
    ]) {
      await page.goto(`${address}&backend=${backend}`);
      await settled();
      assert.equal(await page.textContent("#used"), name);
      assert.match((await page.textContent("#download")) ?? "", /^0\.[1-9]\d* MB$/);
      const before = await styled();
      await page.selectOption("#style", "3");
      await page.waitForFunction(
        (old) =>
          /** @type {HTMLCanvasElement} */ (document.querySelector("#output")).toDataURL() !== old,
        before,
        { timeout: 60_000 },
      );
      await page.click("#profile");
      await page.waitForSelector("#kernels tbody tr", { timeout: 60_000 });
      assert((await page.$$("#kernels tbody tr")).length > 50);
    }
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
    stop();
    await rm(folder, { recursive: true, force: true });
  }
});
