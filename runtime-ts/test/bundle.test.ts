import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { bundle } from "../build.mjs";
import { BASE, rejection, sampleInput, served } from "./helpers.js";

const { code, worker } = await bundle();

test("the bundle is small", () => {
  expect(gzipSync(code).length + gzipSync(worker).length).toBeLessThan(21_300);
});

test("the bundle keeps to a strict content security policy, and has no imports", () => {
  for (const text of [code, worker]) {
    expect(text.match(/\beval\b|\bFunction\(|\bblob:/)).toBeNull();
    expect(text.replaceAll("import.meta.url", "").match(/\bimport\b|\brequire\(/)).toBeNull();
  }
});

test("the bundle runs as it is", async () => {
  const module = await import(`data:text/javascript,${encodeURIComponent(code)}`);
  const { fetch } = await served();
  const model = await module.load(BASE, { backends: ["wasm"], fetch });
  expect(Object.keys(await model.run({ x: sampleInput() }))).toEqual(["y"]);
  const error = await rejection(model.run({}));
  // The names of classes survive minification, because errors print them.
  expect(String(error)).toBe('InputError: input "x" is missing');
});

test("other bundlers find the script of the threads", () => {
  expect(code).toContain('new Worker(new URL("./worker.js",import.meta.url),{type:"module"})');
});

test("other bundlers can take it for browsers without a word about node: modules", async () => {
  const { warnings, outputFiles } = await build({
    stdin: { contents: code, loader: "js" },
    bundle: true,
    format: "esm",
    platform: "browser",
    write: false,
    logLevel: "silent",
  });
  expect(warnings).toEqual([]);
  expect(outputFiles).toHaveLength(1);
});

test("the package has no dependencies, and its lock file names no hosts", () => {
  const text = (name: string) => readFileSync(new URL(`../${name}`, import.meta.url), "utf8");
  expect(JSON.parse(text("package.json"))).not.toHaveProperty("dependencies");
  expect(text("package-lock.json")).not.toMatch(/"resolved"|https?:\/\/registry/);
});
