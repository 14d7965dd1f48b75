// Bundles the runtime into one file. Run as a script it writes dist/index.js; `bundle` gives the text to tests.
import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL(".", import.meta.url));

/** @returns {Promise<{ code: string, map: string }>} the minified ESM bundle and its source map */
export async function bundle() {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ["src/index.ts"],
    outfile: "dist/index.js",
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    minify: true,
    sourcemap: "linked",
    write: false,
  });
  const find = (/** @type {string} */ suffix) => {
    const file = outputFiles.find((f) => f.path.endsWith(suffix));
    if (!file) throw new Error(`esbuild wrote no ${suffix}`);
    return file.text;
  };
  return { code: find(".js"), map: find(".js.map") };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { code, map } = await bundle();
  await mkdir(`${root}dist`, { recursive: true });
  await writeFile(`${root}dist/index.js`, code);
  await writeFile(`${root}dist/index.js.map`, map);
}
