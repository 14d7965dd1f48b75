/** Between the pixels of a canvas (RGBA, 8 bits each) and the numbers that networks take and give. */

/** Whether the channels of a pixel lie together, or each channel of the image does. */
export enum Order {
  CHW = 0,
  HWC = 1,
}

/** The channels of a pixel. */
export enum Color {
  RGB = 0,
  BGR = 1,
  GREY = 2,
  RGBA = 3,
  BGRA = 4,
}

/** How numbers stand for pixels. */
export interface ImageArrayOption {
  /** The class of the array. Default: `Float32Array`. */
  type?: { new (length: number): Float32Array | Int32Array };
  /** Default: RGB. */
  color?: Color;
  /** Default: HWC. */
  order?: Order;
  /** For all channels, or for red, green, blue (and alpha), whatever `color` is: a number is `(pixel - bias) / scale`. */
  bias?: number[] | number;
  scale?: number[] | number;
}

/** Which of red, green, blue and alpha each channel is made of. */
const CHANNELS: Readonly<Record<Color, readonly (readonly number[])[]>> = [
  [[0], [1], [2]],
  [[2], [1], [0]],
  [[0, 1, 2]],
  [[0], [1], [2], [3]],
  [[2], [1], [0], [3]],
];

/** Rec. 709 has 0.7152 for green; the first WebDNN had this, and networks get the numbers that they were given then. */
const LUMINANCE = [0.2126, 0.7162, 0.0722];

/** Pixels as numbers. */
export function pack(
  { data, width, height }: Pick<ImageData, "data" | "width" | "height">,
  options: ImageArrayOption = {},
): Float32Array | Int32Array {
  const { type: Class = Float32Array } = options;
  const count = width * height;
  const { planes, biases, scales } = layoutOf(options, count);
  const array = new Class(count * planes.length);
  for (const { sources, start, step } of planes) {
    const gains = sources.length > 1 ? LUMINANCE : [1, 1, 1, 1];
    for (let i = 0; i < count; i++) {
      let sum = 0;
      for (const c of sources) {
        sum += (at(gains, c) * (at(data, 4 * i + c) - at(biases, c))) / at(scales, c);
      }
      array[start + i * step] = sum;
    }
  }
  return array;
}

/**
 * Numbers as pixels: `number * scale + bias`, rounded and limited to 8 bits; opaque where there is no alpha.
 *
 * @throws RangeError if there are too few
 */
export function unpack(
  array: ArrayLike<number>,
  width: number,
  height: number,
  options: ImageArrayOption,
): Uint8ClampedArray<ArrayBuffer> {
  const count = width * height;
  const { planes, biases, scales } = layoutOf(options, count);
  const wanted = count * planes.length;
  if (array.length < wanted) {
    throw new RangeError(`the image takes ${wanted} numbers, not ${array.length}`);
  }
  const data = new Uint8ClampedArray(4 * count).fill(255);
  for (const { sources, start, step } of planes) {
    const [scale, bias] = [at(scales, at(sources, 0)), at(biases, at(sources, 0))];
    for (let i = 0; i < count; i++) {
      for (const c of sources) data[4 * i + c] = at(array, start + i * step) * scale + bias;
    }
  }
  return data;
}

/** Where the numbers of a channel lie, from pixel to pixel, and what they are made of. */
interface Plane {
  readonly sources: readonly number[];
  readonly start: number;
  readonly step: number;
}

/** @throws TypeError if there is no such color, or not as many biases and scales */
function layoutOf({ color = 0, order, bias = 0, scale = 1 }: ImageArrayOption, count: number) {
  const channels = CHANNELS[color];
  if (!channels) throw new TypeError(`there is no color format ${color}`);
  const planes = channels.map(
    (sources, c): Plane =>
      order === Order.CHW
        ? { sources, start: c * count, step: 1 }
        : { sources, start: c, step: channels.length },
  );
  return { planes, biases: perChannel(bias), scales: perChannel(scale) };
}

/** For red, green, blue and alpha. Where none is given for alpha, it is red's. */
function perChannel(given: number[] | number): number[] {
  const values = [given].flat();
  if (![1, 3, 4].includes(values.length)) {
    throw new TypeError("bias and scale are a number, or 1, 3 or 4 of them");
  }
  const [red, green = red, blue = red, alpha = red] = values;
  return [red, green, blue, alpha] as number[];
}

/** An element that is known to be there. */
function at(array: ArrayLike<number>, position: number): number {
  return array[position] as number;
}
