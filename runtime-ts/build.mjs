// Bundles the runtime and the script of its threads. Run as a script it writes dist; `bundle` gives the texts to tests.
import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL(".", import.meta.url));

/**
 * @param {string} name of a file in src without its ending
 * @returns {Promise<{ code: string, map: string }>} the minified ESM bundle and its source map
 */
async function bundled(name) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [`src/${name}.ts`],
    outfile: `dist/${name}.js`,
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

/** @returns the runtime, and the script of its threads, which lies beside it as worker.js */
export async function bundle() {
  const [index, worker] = await Promise.all([bundled("index"), bundled("worker")]);
  return { ...index, worker: worker.code, workerMap: worker.map };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { code, map, worker, workerMap } = await bundle();
  await mkdir(`${root}dist`, { recursive: true });
  await writeFile(`${root}dist/index.js`, code);
  await writeFile(`${root}dist/index.js.map`, map);
  await writeFile(`${root}dist/worker.js`, worker);
  await writeFile(`${root}dist/worker.js.map`, workerMap);
}
