import { readFileSync } from "node:fs";
import { createContext, runInContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { bundleClassic } from "../../build.mjs";

const { code, script } = await bundleClassic();

test("the bundle is small, and shares the runtime", () => {
  expect(gzipSync(code).length).toBeLessThan(4_000);
  const imports = code.match(/\bfrom"[^"]*"|\bimport\(|\brequire\(/g);
  expect(new Set(imports)).toEqual(new Set(['from"./index.js"']));
});

test("both keep to a strict content security policy", () => {
  for (const text of [code, script]) {
    expect(text.match(/\beval\b|\bFunction\(|\bblob:/)).toBeNull();
  }
});

test("the script sets the global, and finds the workers' script beside itself", () => {
  const document = { currentScript: { src: "https://example.test/lib/webdnn.js" } };
  const page = createContext({ document });
  runInContext(script, page);
  const names = runInContext("Object.keys(WebDNN)", page) as string[];
  expect([...names].sort()).toEqual(
    [
      "Image",
      "Math",
      "getBackendAvailability",
      "getConfiguration",
      "load",
      "setConfiguration",
    ].sort(),
  );
  expect(runInContext("WebDNN.Image.Color[WebDNN.Image.Color.BGR]", page)).toBe("BGR");
  expect(runInContext("WebDNN.Math.argmax([1, 3, 2], 2).join()", page)).toBe("1,2");
  expect(script).toMatch(/new Worker\(new URL\("\.\/worker\.js",\w+\),\{type:"module"\}\)/);
  expect(script).not.toContain("import.meta");
});

test("the package offers it", () => {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  expect(JSON.parse(text).exports["./classic"]).toEqual({
    types: "./dist/classic/index.d.ts",
    default: "./dist/classic.js",
  });
});
