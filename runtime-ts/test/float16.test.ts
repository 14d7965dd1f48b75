import { expect, test } from "vitest";
import { float16ToNumber, numberToFloat16 } from "../src/float16.js";

const isNaNBits = (bits: number) => (bits & 0x7c00) === 0x7c00 && (bits & 0x3ff) !== 0;

test("every binary16 survives the way to a number and back", () => {
  for (let bits = 0; bits < 0x10000; bits++) {
    const value = float16ToNumber(bits);
    if (isNaNBits(bits)) expect(value).toBeNaN();
    else if (numberToFloat16(value) !== bits) expect.fail(`${bits} -> ${value}`);
  }
});

test("some known values", () => {
  expect(float16ToNumber(0x3c00)).toBe(1);
  expect(float16ToNumber(0xc000)).toBe(-2);
  expect(float16ToNumber(0x7bff)).toBe(65504);
  expect(float16ToNumber(0x0001)).toBe(2 ** -24);
  expect(float16ToNumber(0x3555)).toBe(1365 / 4096);
  expect(Object.is(float16ToNumber(0x8000), -0)).toBe(true);
});

test("numbers go to the nearest binary16, ties to the even one", () => {
  for (let bits = 0; bits < 0x7bff; bits++) {
    const [low, high] = [float16ToNumber(bits), float16ToNumber(bits + 1)];
    const middle = (low + high) / 2;
    const even = bits % 2 === 0 ? bits : bits + 1;
    const around = [
      numberToFloat16(low + (high - low) * 0.49),
      numberToFloat16(middle),
      numberToFloat16(low + (high - low) * 0.51),
      numberToFloat16(-middle),
    ];
    const wanted = [bits, even, bits + 1, 0x8000 | even];
    if (around.some((found, i) => found !== wanted[i])) expect(around).toEqual(wanted);
  }
});

test("what is too large becomes infinite, NaN stays NaN", () => {
  expect(numberToFloat16(65519.99)).toBe(0x7bff);
  expect(numberToFloat16(65520)).toBe(0x7c00);
  expect(numberToFloat16(-1e30)).toBe(0xfc00);
  expect(isNaNBits(numberToFloat16(Number.NaN))).toBe(true);
});
