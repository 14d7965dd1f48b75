// Headless Chromium with WebGPU on SwiftShader, so that it runs on machines without a GPU.
import { existsSync } from "node:fs";
import { importInstalled } from "./node_modules_of_runtime.mjs";

const QUIET = [
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const WEBGPU = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan,WebGPU",
  "--use-vulkan=swiftshader",
  // SwiftShader may take longer for one command buffer than a GPU that has hung.
  "--disable-gpu-watchdog",
];

/** The path of the browser: `$CHROMIUM`, or where Debian puts it. */
export const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

/**
 * @param {{ webgpu?: boolean, args?: string[] }} [options]
 * @returns {Promise<import("playwright-core").Browser>}
 */
export async function launchBrowser({ webgpu = true, args = [] } = {}) {
  if (!existsSync(CHROMIUM)) {
    throw new Error(
      `there is no browser at ${CHROMIUM}: install Chromium (Debian: apt-get install chromium), or set CHROMIUM to its path`,
    );
  }
  const { chromium } = await importInstalled("playwright-core");
  return chromium.launch({
    executablePath: CHROMIUM,
    headless: true,
    args: ["--no-sandbox", "--headless=new", ...QUIET, ...(webgpu ? WEBGPU : []), ...args],
  });
}
