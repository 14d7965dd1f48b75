import { afterEach, expect, test, vi } from "vitest";
import { onThisThread } from "../src/wasm/executor.js";

afterEach(() => {
  vi.restoreAllMocks();
});

test("kernels are warmed up once weights have been asked for: the worker that reads waits for this thread", async () => {
  const called: string[] = [];
  const exports = {
    run_range: () => called.push("run_range"),
    warm_up: () => called.push("warm_up"),
  };
  vi.spyOn(WebAssembly, "instantiate").mockResolvedValue({ exports } as never);
  let begin = (): void => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const making = onThisThread({} as never, {} as never, "a.wasm", begun);
  await new Promise((resolve) => setTimeout(resolve));
  expect(called).toEqual([]);
  begin();
  const executor = await making;
  expect(called).toEqual(["warm_up"]);
  await executor.run(0, 1);
  expect(called).toEqual(["warm_up", "run_range"]);
});
