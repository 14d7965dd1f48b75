// Builds the demonstration page from examples/style-transfer into driver/demo/page, where `webdnn demo --serve` finds it.
import { copyFile, mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const source = fileURLToPath(new URL("../examples/style-transfer/", import.meta.url));
const worker = fileURLToPath(new URL("src/worker.ts", import.meta.url));
const target = fileURLToPath(new URL("../driver/demo/page/", import.meta.url));

await mkdir(target, { recursive: true });
await build({
  entryPoints: { main: `${source}main.ts`, worker },
  outdir: target,
  bundle: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  minify: true,
});
for (const name of ["index.html", "style.css"]) await copyFile(source + name, target + name);
