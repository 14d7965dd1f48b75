// Drives one headless browser through a job. usage: node driver.mjs job.json
// Reports one JSON object per line on stdout; `benchmarks/browser.py` writes the job and reads the reports.

import { readFile } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { chromium } from "playwright-core";
import { serve } from "./server.mjs";

const job = JSON.parse(await readFile(process.argv[2], "utf8"));
const report = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

/** Milliseconds after which a new window does nothing more by itself. */
const SETTLE = 1200;

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

async function openPage(browser, origin, name) {
  const context = await browser.newContext(); // nothing is cached from one context to the next
  const page = await context.newPage();
  page.setDefaultTimeout(job.timeout * 1000);
  page.on("pageerror", (error) => report({ event: "message", text: String(error) }));
  page.on("console", (message) => {
    if (message.type() === "error") report({ event: "message", text: message.text() });
  });
  await page.goto(`${origin}/page/${name}.html`);
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

/** The largest memory that a renderer of the browser has had so far, in bytes; undefined where the system does not tell. */
async function peakMemory(devtools) {
  const { processInfo } = await devtools.send("SystemInfo.getProcessInfo");
  const peaks = processInfo
    .filter(({ type }) => type === "renderer")
    .map(async ({ id }) => {
      const status = await readFile(`/proc/${id}/status`, "utf8").catch(() => ""); // it may have ended
      return 1024 * Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0);
    });
  return Math.max(...(await Promise.all(peaks))) || undefined;
}

/**
 * A fresh page for each sample, in a new window that has come to rest. Nothing watches the page: DevTools would be told of each
 * piece that arrives, which takes longer than to fetch it. So the page itself says when it has its result.
 */
async function start(browser, server) {
  const devtools = await browser.newBrowserCDPSession();
  const failed = new Set();
  // The first round, in which files are read from the disk, does not count.
  for (let i = -1; i < job.rounds; i++) {
    for (const runtime of job.runtimes) {
      if (failed.has(runtime.name)) continue;
      const { browserContextId } = await devtools.send("Target.createBrowserContext");
      const { targetId } = await devtools.send("Target.createTarget", { url: "about:blank", browserContextId });
      const { sessionId } = await devtools.send("Target.attachToTarget", { targetId });
      await setTimeout(SETTLE);
      server.downloads.length = 0;
      const url = `${server.origin}/page/start.html#${encodeURIComponent(JSON.stringify(runtime))}`;
      const message = JSON.stringify({ id: 1, method: "Page.navigate", params: { url } });
      const late = new AbortController();
      const result = Promise.race([
        server.reported(),
        setTimeout(job.timeout * 1000, { failure: `no result after ${job.timeout} s` }, { signal: late.signal }),
      ]);
      await devtools.send("Target.sendMessageToTarget", { sessionId, message });
      const { failure, ...times } = await result;
      late.abort();
      const own = server.downloads.filter(({ path }) => !path.startsWith(`${runtime.url.case}/`));
      if (failure) {
        failed.add(runtime.name);
        report({ event: "failed", runtime: runtime.name, message: failure });
      } else if (i >= 0) {
        const memory = await peakMemory(devtools);
        report({ event: "start", runtime: runtime.name, ...times, memory, downloads: own });
      }
      await devtools.send("Target.disposeBrowserContext", { browserContextId });
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
