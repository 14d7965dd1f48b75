import { describe, expect, test } from "vitest";
import { argmax, argmin } from "../../src/classic/math.js";
import { SymbolicFloat32Array } from "../../src/classic/symbolic_float32_array.js";

const { NaN: NAN, POSITIVE_INFINITY: INF } = Number;

describe("positions of the greatest and the least", () => {
  test.each<[number[], number | undefined, number[], number[]]>([
    [[3, 1, 2], undefined, [0], [1]],
    [[3, 1, 2], 2, [0, 2], [1, 2]],
    [[3, 1, 2], 3, [0, 2, 1], [1, 2, 0]],
    [[3, 1, 2], 7, [0, 2, 1], [1, 2, 0]],
    [[3, 1, 2], 0, [], []],
    [[], 2, [], []],
    [[5], undefined, [0], [0]],
    // Of equal ones the first.
    [[1, 2, 2, 1], 3, [1, 2, 0], [0, 3, 1]],
    [[0, -0, 0], 2, [0, 1], [0, 1]],
    [[NAN, -INF, 4, INF, INF, NAN], 3, [3, 4, 2], [1, 2, 0]],
    [[NAN, NAN], 1, [0], [0]],
    // By value, not by their digits.
    [[9, 10, -2, -10], 4, [1, 0, 2, 3], [3, 2, 0, 1]],
  ])("of %j, %s", (values, k, greatest, least) => {
    expect(argmax(values, k)).toEqual(greatest);
    expect(argmin(values, k)).toEqual(least);
    expect(argmax(Float32Array.from(values), k)).toEqual(greatest);
    expect(argmin(Float32Array.from(values), k)).toEqual(least);
  });

  test("of a view, and of integers", () => {
    const view = new SymbolicFloat32Array(4);
    view.set([0.25, 0.5, 0.125, 0.125]);
    expect(argmax(view, 2)).toEqual([1, 0]);
    expect(argmin(view)).toEqual([2]);
    expect(argmin(Int32Array.of(3, -(2 ** 31), 2))).toEqual([1]);
  });

  test("what is given stays as it is", () => {
    const values = Float32Array.of(2, 3, 1);
    argmax(values, 3);
    argmin(values, 3);
    expect(values).toEqual(Float32Array.of(2, 3, 1));
  });

  test("a long array", () => {
    const values = Float32Array.from({ length: 10_000 }, (_, i) => (i * 7919) % 10_007);
    const order = [...values.keys()].sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0));
    expect(argmax(values, 100)).toEqual(order.slice(0, 100));
    expect(argmin(values, 100)).toEqual(order.reverse().slice(0, 100));
  });
});
