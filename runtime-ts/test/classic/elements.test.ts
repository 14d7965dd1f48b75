import { describe, expect, test } from "vitest";
import { toElements, toFloats } from "../../src/classic/elements.js";
import { type DType, InputError, type TypedArray, UnsupportedError } from "../../src/index.js";

const tensor = (dtype: DType) => ({ name: "t", dtype, shape: [2] });

describe("floats as elements", () => {
  test.each<[DType, number[], TypedArray]>([
    ["float32", [0.1, Number.NaN], Float32Array.of(0.1, Number.NaN)],
    ["float64", [0.1, -1e30], Float64Array.of(Math.fround(0.1), Math.fround(-1e30))],
    ["int8", [-128, 127], Int8Array.of(-128, 127)],
    ["int64", [-(2 ** 63), -0], BigInt64Array.of(-(2n ** 63n), 0n)],
    ["uint64", [2 ** 63, 1], BigUint64Array.of(2n ** 63n, 1n)],
    ["uint32", [2 ** 31, 0], Uint32Array.of(2 ** 31, 0)],
    ["bool", [0, 1], Uint8Array.of(0, 1)],
    ["int64", [], new BigInt64Array(0)],
  ])("%s %j", (dtype, values, elements) => {
    const given = Float32Array.from(values);
    const result = toElements(tensor(dtype), given);
    expect(result).toEqual(elements);
    expect(result.buffer).not.toBe(given.buffer);
  });

  test.each<[DType, number]>([
    ["int8", 128],
    ["int8", 0.5],
    ["int32", 2 ** 31],
    ["int64", 2 ** 63],
    ["int64", Number.NaN],
    ["uint8", -1],
    ["uint8", 256],
    ["uint64", -1],
    ["uint64", 2 ** 64],
    ["bool", 2],
    ["bool", Number.POSITIVE_INFINITY],
  ])("not %s: %s", (dtype, value) => {
    const convert = () => toElements(tensor(dtype), Float32Array.of(0, value));
    expect(convert).toThrow(InputError);
    expect(convert).toThrow(`element 1 of input "t" is ${value}, which is no ${dtype}`);
  });
});

describe("elements as floats", () => {
  test.each<[DType, TypedArray, number[]]>([
    ["float32", Float32Array.of(0.5, Number.NaN), [0.5, Number.NaN]],
    ["float64", Float64Array.of(0.1, 1e300), [Math.fround(0.1), Number.POSITIVE_INFINITY]],
    ["int32", Int32Array.of(-(2 ** 31), 2 ** 24), [-(2 ** 31), 2 ** 24]],
    ["int64", BigInt64Array.of(-(2n ** 63n), 1n), [-(2 ** 63), 1]],
    ["uint64", BigUint64Array.of(2n ** 63n, 0n), [2 ** 63, 0]],
    ["bool", Uint8Array.of(0, 1), [0, 1]],
  ])("%s", (dtype, elements, values) => {
    expect([...(toFloats(tensor(dtype), elements) as Float32Array)]).toEqual(values);
  });

  test.each<[DType, TypedArray, string]>([
    ["int32", Int32Array.of(0, 2 ** 24 + 1), "16777217"],
    ["int64", BigInt64Array.of(0n, 2n ** 60n + 1n), "1152921504606846977"],
    ["uint32", Uint32Array.of(0, 2 ** 32 - 1), "4294967295"],
  ])("no float holds it: %s", (dtype, elements, value) => {
    const convert = () => toFloats(tensor(dtype), elements);
    expect(convert).toThrow(UnsupportedError);
    expect(convert).toThrow(`element 1 of output "t" is ${value}, which is no float32`);
  });
});
