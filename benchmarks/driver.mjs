// Drives one headless browser through a job. usage: node driver.mjs job.json
// Reports one JSON object per line on stdout; `benchmarks/browser.py` writes the job and reads the reports.

import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";
import { serve } from "./server.mjs";

const job = JSON.parse(await readFile(process.argv[2], "utf8"));
const report = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

const GPU_FLAGS = {
  none: [],
  software: [
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan,WebGPU",
    "--use-vulkan=swiftshader",
  ],
  hardware: ["--enable-unsafe-webgpu", "--enable-features=Vulkan,WebGPU", "--ignore-gpu-blocklist"],
};

async function openPage(browser, origin, name, hash = "") {
  const context = await browser.newContext(); // nothing is cached from one context to the next
  const page = await context.newPage();
  page.setDefaultTimeout(job.timeout * 1000);
  page.on("pageerror", (error) => report({ event: "message", text: String(error) }));
  page.on("console", (message) => {
    if (message.type() === "error") report({ event: "message", text: message.text() });
  });
  await page.goto(`${origin}/page/${name}.html${hash}`);
  return { context, page };
}

/** Loads the runtimes of the job into one page; the names of those that could be loaded. */
async function loadAll(page) {
  const names = [];
  for (const runtime of job.runtimes) {
    try {
      const result = await page.evaluate((options) => globalThis.benchmark.load(options), runtime);
      names.push(runtime.name);
      report({ event: "loaded", runtime: runtime.name, ...result });
    } catch (error) {
      report({ event: "failed", runtime: runtime.name, message: error.message });
    }
  }
  return names;
}

/** All runtimes in one page, in turns. */
async function interleaved(browser, server) {
  const { page } = await openPage(browser, server.origin, "interleaved");
  let names = await loadAll(page);
  for (let i = 0; i < job.rounds && names.length > 0; i++) {
    const order = names.map((_, k) => names[(k + i) % names.length]);
    const options = { names: order, pause: job.pause, repeats: job.repeats };
    const { times, failures } = await page.evaluate((options) => globalThis.benchmark.round(options), options);
    for (const [runtime, message] of Object.entries(failures)) report({ event: "failed", runtime, message });
    names = names.filter((name) => !(name in failures));
    report({ event: "round", times });
  }
}

/** The times of single launches. */
async function profile(browser, server) {
  const { page } = await openPage(browser, server.origin, "interleaved");
  for (const name of await loadAll(page)) {
    for (let i = 0; i < job.rounds; i++) {
      const result = await page.evaluate((name) => globalThis.benchmark.profile(name), name);
      report({ event: "profile", runtime: name, ...result });
    }
  }
}

/** A fresh page for each sample. */
async function start(browser, server) {
  const failed = new Set();
  for (let i = 0; i < job.rounds; i++) {
    for (const runtime of job.runtimes) {
      if (failed.has(runtime.name)) continue;
      server.downloads.length = 0;
      const hash = `#${encodeURIComponent(JSON.stringify(runtime))}`;
      const { context, page } = await openPage(browser, server.origin, "start", hash);
      try {
        const times = await page.evaluate(() => globalThis.started);
        const own = server.downloads.filter(({ path }) => !path.startsWith(`${runtime.url.case}/`));
        report({ event: "start", runtime: runtime.name, ...times, downloads: own });
      } catch (error) {
        failed.add(runtime.name);
        report({ event: "failed", runtime: runtime.name, message: error.message });
      }
      await context.close();
    }
  }
}

const server = await serve(job.mounts);
const browser = await chromium.launch({
  executablePath: job.chromium,
  args: ["--no-sandbox", ...GPU_FLAGS[job.gpu]],
});
try {
  report({ event: "browser", version: browser.version() });
  await { interleaved, profile, start }[job.mode](browser, server);
} finally {
  await browser.close();
  server.close();
}
