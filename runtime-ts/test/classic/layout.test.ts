import { describe, expect, test } from "vitest";
import { Color, Order, pack, unpack } from "../../src/classic/image/layout.js";

/** Two columns, three rows; red counts the pixels, green is 10 more than ten times it, blue 200 and more, alpha 100 and less. */
const IMAGE = {
  width: 2,
  height: 3,
  data: Uint8ClampedArray.from({ length: 24 }, (_, k) => {
    const pixel = k >> 2;
    return [pixel, 10 * pixel + 10, 200 + pixel, 100 - pixel][k & 3] as number;
  }),
};
const PIXELS = [0, 1, 2, 3, 4, 5];

const red = (i: number) => i;
const green = (i: number) => 10 * i + 10;
const blue = (i: number) => 200 + i;
const alpha = (i: number) => 100 - i;

const COLORS: [keyof typeof Color, ((i: number) => number)[]][] = [
  ["RGB", [red, green, blue]],
  ["BGR", [blue, green, red]],
  ["RGBA", [red, green, blue, alpha]],
  ["BGRA", [blue, green, red, alpha]],
];

describe("pixels as numbers", () => {
  test.each(COLORS)("%s", (color, channels) => {
    const together = PIXELS.flatMap((i) => channels.map((channel) => channel(i)));
    const apart = channels.flatMap((channel) => PIXELS.map(channel));
    const options = { color: Color[color] };
    expect(pack(IMAGE, options)).toEqual(Float32Array.from(together));
    expect(pack(IMAGE, { ...options, order: Order.HWC })).toEqual(Float32Array.from(together));
    expect(pack(IMAGE, { ...options, order: Order.CHW })).toEqual(Float32Array.from(apart));
  });

  test("the default is RGB, HWC, floats", () => {
    expect(pack(IMAGE, {})).toEqual(pack(IMAGE, { color: Color.RGB, order: Order.HWC }));
    expect(pack(IMAGE, {})).toBeInstanceOf(Float32Array);
  });

  test("bias and scale are those of red, green and blue, whatever the order", () => {
    const options = { bias: [1, 2, 3], scale: [2, 4, 8] };
    const [r, g, b] = [red, green, blue].map(
      (channel, c) => (i: number) => (channel(i) - (c + 1)) / 2 ** (c + 1),
    ) as [typeof red, typeof red, typeof red];
    const rgb = PIXELS.flatMap((i) => [r(i), g(i), b(i)]);
    const bgr = PIXELS.flatMap((i) => [b(i), g(i), r(i)]);
    expect(pack(IMAGE, options)).toEqual(Float32Array.from(rgb));
    expect(pack(IMAGE, { ...options, color: Color.BGR })).toEqual(Float32Array.from(bgr));
    const apart = [...PIXELS.map(b), ...PIXELS.map(g), ...PIXELS.map(r)];
    expect(pack(IMAGE, { ...options, color: Color.BGR, order: Order.CHW })).toEqual(
      Float32Array.from(apart),
    );
  });

  test("bias and scale for alpha: the fourth, or red's", () => {
    const last = (bias: number[], scale: number[]) =>
      pack(IMAGE, { color: Color.RGBA, bias, scale })[3];
    expect(last([1, 2, 3, 4], [1, 1, 1, 2])).toBe(48);
    expect(last([1, 2, 3], [3, 1, 1])).toBe(33);
  });

  test("one bias and scale for all channels", () => {
    const all = PIXELS.flatMap((i) => [red(i), green(i), blue(i)]).map((v) => (v - 100) / 50);
    expect(pack(IMAGE, { bias: 100, scale: 50 })).toEqual(Float32Array.from(all));
    expect(pack(IMAGE, { bias: [100], scale: [50] })).toEqual(Float32Array.from(all));
  });

  test("grey", () => {
    const grey = (i: number) =>
      0.2126 * (red(i) - 1) + (0.7162 * (green(i) - 2)) / 2 + (0.0722 * (blue(i) - 3)) / 4;
    for (const order of [Order.HWC, Order.CHW]) {
      const options = { color: Color.GREY, order, bias: [1, 2, 3], scale: [1, 2, 4] };
      for (const [i, value] of pack(IMAGE, options).entries())
        expect(value).toBeCloseTo(grey(i), 4);
    }
    expect(pack(IMAGE, { color: Color.GREY })).toHaveLength(6);
  });

  test("integers are cut off", () => {
    const array = pack(IMAGE, { type: Int32Array, bias: 3, scale: 2 });
    expect(array).toBeInstanceOf(Int32Array);
    expect([...array].slice(0, 3)).toEqual([-1, 3, 98]);
  });

  test("no pixels, and one", () => {
    const none = { width: 0, height: 3, data: new Uint8ClampedArray(0) };
    expect(pack(none, { order: Order.CHW })).toEqual(new Float32Array(0));
    const one = { width: 1, height: 1, data: Uint8ClampedArray.of(1, 2, 3, 4) };
    expect(pack(one, { color: Color.BGRA })).toEqual(Float32Array.of(3, 2, 1, 4));
  });

  test("what there is not", () => {
    expect(() => pack(IMAGE, { color: 9 as Color })).toThrow("there is no color format 9");
    for (const bias of [[], [1, 2], [1, 2, 3, 4, 5]]) {
      expect(() => pack(IMAGE, { bias })).toThrow("bias and scale are a number, or 1, 3 or 4");
    }
  });
});

describe("numbers as pixels", () => {
  test.each(COLORS)("%s there and back", (color, channels) => {
    const opaque = IMAGE.data.map((v, k) => (k % 4 === 3 && channels.length === 3 ? 255 : v));
    for (const order of [Order.HWC, Order.CHW]) {
      const options = {
        color: Color[color],
        order,
        bias: [4, 8, 16, 32],
        scale: [0.5, 2, 4, 0.25],
      };
      expect(unpack(pack(IMAGE, options), 2, 3, options)).toEqual(opaque);
    }
  });

  test("grey", () => {
    const data = unpack(Float32Array.of(1, 2), 2, 1, { color: Color.GREY, bias: 10, scale: 3 });
    expect([...data]).toEqual([13, 13, 13, 255, 16, 16, 16, 255]);
  });

  test("is rounded, and limited to 8 bits", () => {
    const data = unpack(Float32Array.of(-5, 300, 1.5, 2.5, 0.4, Number.NaN), 2, 1, {});
    expect([...data]).toEqual([0, 255, 2, 255, 2, 0, 0, 255]);
  });

  test("too few numbers; what is more is left over", () => {
    expect(() => unpack(new Float32Array(11), 2, 2, {})).toThrow(
      "the image takes 12 numbers, not 11",
    );
    expect(unpack(new Float32Array(13), 2, 2, {})).toHaveLength(16);
  });
});
