import { describe, expect, test } from "vitest";
import { SymbolicFloat32Array } from "../../src/classic/symbolic_float32_array.js";

function viewOf(...values: number[]): SymbolicFloat32Array {
  const view = new SymbolicFloat32Array(values.length);
  view.set(values);
  return view;
}

describe("a view", () => {
  test("shares its memory with the arrays that it gives", () => {
    const view = new SymbolicFloat32Array(3);
    const before = view.toActual();
    view.set([1, 2, 3]);
    expect(before).toEqual(Float32Array.of(1, 2, 3));
    before[1] = 5;
    expect([...view]).toEqual([1, 5, 3]);
    expect(view.buffer).toBe(before.buffer);
    expect([...view.subarray(1)]).toEqual([5, 3]);
    expect(view.subarray(1).buffer).toBe(view.buffer);
  });

  test("its sizes", () => {
    const view = new SymbolicFloat32Array(6);
    const { length, byteLength, byteOffset, offset, BYTES_PER_ELEMENT } = view;
    const sizes = { length, byteLength, byteOffset, offset, BYTES_PER_ELEMENT };
    expect(sizes).toEqual({
      length: 6,
      byteLength: 24,
      byteOffset: 0,
      offset: 0,
      BYTES_PER_ELEMENT: 4,
    });
    expect(view.buffer.byteLength).toBe(24);
  });

  test("an empty one, and a single element", () => {
    expect(new SymbolicFloat32Array(0).toActual()).toEqual(new Float32Array(0));
    expect([...viewOf(7)]).toEqual([7]);
  });

  test("what it can be set to", () => {
    const view = new SymbolicFloat32Array(4);
    view.set([1, 2]);
    view.set(Uint8Array.of(3, 4), 2);
    expect([...view]).toEqual([1, 2, 3, 4]);
    view.set([[5, [6]], 7] as unknown as number[], 1);
    expect([...view]).toEqual([1, 5, 6, 7]);
    view.set(viewOf(8, 9));
    expect([...view]).toEqual([8, 9, 6, 7]);
    view.set({ length: 1, 0: Number.NaN });
    expect(view.toActual()[0]).toBeNaN();
    view.set([]);
    expect(() => view.set([1, 2], 3)).toThrow(RangeError);
    expect(() => view.set([1, 2, 3, 4, 5])).toThrow(RangeError);
  });

  test("methods that change it give the view", () => {
    const view = viewOf(3, 1, 10, 2);
    expect(view.sort()).toBe(view);
    expect([...view]).toEqual([1, 2, 3, 10]);
    expect(view.sort((a, b) => b - a)).toBe(view);
    expect([...view]).toEqual([10, 3, 2, 1]);
    expect(view.fill(7, 1, -1)).toBe(view);
    expect([...view]).toEqual([10, 7, 7, 1]);
    expect(view.copyWithin(0, 3)).toBe(view);
    expect([...view]).toEqual([1, 7, 7, 1]);
  });

  test("methods that read it", () => {
    const view = viewOf(1, 2, 3, 2);
    const isTwo = (value: number): boolean => value === 2;
    expect(view.indexOf(2)).toBe(1);
    expect(view.indexOf(2, 2)).toBe(3);
    expect(view.lastIndexOf(2)).toBe(3);
    expect(view.includes(3)).toBe(true);
    expect(view.includes(1, 1)).toBe(false);
    expect(view.join("-")).toBe("1-2-3-2");
    expect(view.toString()).toBe("1,2,3,2");
    expect(view.toLocaleString()).toBe(Float32Array.of(1, 2, 3, 2).toLocaleString());
    expect(`${view}`).toBe("1,2,3,2");
    expect([...view.keys()]).toEqual([0, 1, 2, 3]);
    expect([...view.values()]).toEqual([1, 2, 3, 2]);
    expect([...view.entries()][2]).toEqual([2, 3]);
    expect(view.every((value) => value > 0)).toBe(true);
    expect(view.some((value) => value > 3)).toBe(false);
    expect(view.find((value) => value > 1)).toBe(2);
    expect(view.findIndex((value) => value > 2)).toBe(2);
    expect([...view.filter(isTwo)]).toEqual([2, 2]);
    expect([...view.map((value) => value * 2)]).toEqual([2, 4, 6, 4]);
    expect([...view.slice(1, 3)]).toEqual([2, 3]);
    expect(view.reduce((sum, value) => sum + value)).toBe(8);
    expect(view.reduce((sum, value) => sum + value, 10)).toBe(18);
    expect(view.reduceRight((text, value) => text + value, "")).toBe("2321");
    const seen: unknown[] = [];
    view.forEach(function (this: unknown, value, index, array) {
      seen.push([this, value, index, array instanceof Float32Array]);
    }, "this");
    expect(seen[1]).toEqual(["this", 2, 1, true]);
    expect(view.at(-1)).toBe(2);
  });

  test("is an array itself", () => {
    const view = viewOf(1, 2, 3);
    expect(view[1]).toBe(2);
    expect(view.reverse()[0]).toBe(3);
    expect([...view]).toEqual([3, 2, 1]);
    expect(view.subarray(1)).toHaveProperty("offset", 1);
    expect(new Float32Array(view)).toEqual(view.toActual());
    expect(Object.getPrototypeOf(view.toActual())).toBe(Float32Array.prototype);
    expect(structuredClone(view)).toEqual(view.toActual());
  });
});
