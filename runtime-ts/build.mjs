// Bundles the runtime, the script of its threads, and the first WebDNN's interface to it. Run as a script it writes dist;
// `bundle` and `bundleClassic` give the texts to tests.
import { mkdir, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL(".", import.meta.url));

/**
 * @param {string} entry a file in src without its ending
 * @param {string} [name] of the bundle in dist, if it is another
 * @param {import("esbuild").BuildOptions} [options] beside those of all bundles
 * @returns {Promise<{ code: string, map: string }>} the minified bundle and its source map
 */
async function bundled(entry, name = entry, options = {}) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [`src/${entry}.ts`],
    outfile: `dist/${name}.js`,
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    minify: true,
    sourcemap: "linked",
    write: false,
    ...options,
  });
  const find = (/** @type {string} */ suffix) => {
    const file = outputFiles?.find((f) => f.path.endsWith(suffix));
    if (!file) throw new Error(`esbuild wrote no ${suffix}`);
    return file.text;
  };
  return { code: find(".js"), map: find(".js.map") };
}

/** The runtime is imported from beside the bundle, instead of being in it a second time. @type {import("esbuild").Plugin} */
const runtimeBeside = {
  name: "runtime-beside",
  setup({ onResolve }) {
    onResolve({ filter: /\/index\.js$/ }, ({ path, resolveDir }) =>
      resolve(resolveDir, path) === `${root}src/index.js`
        ? { path: "./index.js", external: true }
        : undefined,
    );
  },
};

/** @returns the runtime, and the script of its threads, which lies beside it as worker.js */
export async function bundle() {
  const [index, worker] = await Promise.all([bundled("index"), bundled("worker")]);
  return { ...index, worker: worker.code, workerMap: worker.map };
}

/**
 * @returns classic.js, which imports the runtime from index.js beside it, and webdnn.js, a script that holds both and sets
 *   the global `WebDNN`
 */
export async function bundleClassic() {
  const [classic, script] = await Promise.all([
    bundled("classic/index", "classic", { plugins: [runtimeBeside] }),
    bundled("classic/index", "webdnn", {
      format: "iife",
      globalName: "WebDNN",
      inject: [`${root}src/classic/script_url.ts`],
      define: { "import.meta.url": "scriptUrl" },
    }),
  ]);
  return { ...classic, script: script.code, scriptMap: script.map };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [runtime, classic] = await Promise.all([bundle(), bundleClassic()]);
  await mkdir(`${root}dist`, { recursive: true });
  const files = {
    "index.js": runtime.code,
    "index.js.map": runtime.map,
    "worker.js": runtime.worker,
    "worker.js.map": runtime.workerMap,
    "classic.js": classic.code,
    "classic.js.map": classic.map,
    "webdnn.js": classic.script,
    "webdnn.js.map": classic.scriptMap,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(`${root}dist/${name}`, text);
}
