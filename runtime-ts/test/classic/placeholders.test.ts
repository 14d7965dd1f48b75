import { expect, test } from "vitest";
import { load } from "../../src/classic/index.js";
import { UnsupportedError } from "../../src/index.js";
import { BASE, packageFetch, rejection } from "../helpers.js";
import { makeSymbolicPackage } from "../symbolic_package.js";

test("a size that is open is a placeholder", async () => {
  const original = globalThis.fetch;
  const served = packageFetch(await makeSymbolicPackage());
  globalThis.fetch = ((url: RequestInfo | URL, init?: RequestInit) =>
    served(String(url), { signal: init?.signal ?? new AbortController().signal })) as typeof fetch;
  try {
    const runner = await load(BASE, { backendOrder: "webassembly", saveCache: false });
    expect(runner.getInputViews().map((view) => view.length)).toEqual([24, 8]);
    await runner.setPlaceholderValue({ s: 5 });
    await runner.setPlaceholderValue({ t: 2 });
    const [x, v] = runner.getInputViews();
    expect([x?.length, v?.length]).toEqual([10, 2]);
    x?.set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const [y, z] = runner.getOutputViews();
    await runner.run();
    expect([...(y ?? [])]).toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
    expect([...(z ?? [])]).toEqual([1, 1, 1, 1, 1, 1]);
    for (const value of [3, 4002, 2.5, Number.NaN]) {
      const error = await rejection(runner.setPlaceholderValue({ s: 7, t: value }));
      expect(error).toBeInstanceOf(UnsupportedError);
      expect(runner.getInputViews()).toHaveLength(2);
      expect(runner.getInputViews()[0]).toBe(x);
    }
  } finally {
    globalThis.fetch = original;
  }
});
