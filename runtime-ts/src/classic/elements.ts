import {
  arrayClass,
  InputError,
  type TensorInfo,
  type TypedArray,
  UnsupportedError,
} from "../index.js";

/** An array of numbers of whatever type. */
type Elements = {
  [index: number]: number | bigint;
  entries(): Iterable<[number, number | bigint]>;
};

const isFloat = ({ dtype }: Pick<TensorInfo, "dtype">): boolean => dtype.includes("float");

/** Whether this engine has no numbers of the tensor's type, only their bits. */
export function isOfBits(tensor: TensorInfo): boolean {
  return isFloat(tensor) && arrayClass(tensor.dtype) === Uint16Array;
}

/** A copy of a view's floats in the type of an input. @throws InputError if one is no number of that type */
export function toElements(tensor: TensorInfo, floats: Float32Array): TypedArray {
  const { name, dtype } = tensor;
  const result = new (arrayClass(dtype))(floats.length);
  convert(tensor, floats, result, "input", dtype, (m) => new InputError("out-of-range", name, m));
  return result;
}

/** A copy of an output in floats. @throws UnsupportedError if it has an integer that no 32-bit float holds */
export function toFloats(tensor: TensorInfo, result: TypedArray): Float32Array {
  const floats = new Float32Array(result.length);
  convert(tensor, result, floats, "output", "float32", (m) => new UnsupportedError(m));
  return floats;
}

/** Floats are rounded to floats; whatever else is not the same number on the other side is an error. */
function convert(
  { name, dtype }: TensorInfo,
  values: TypedArray,
  target: TypedArray,
  what: string,
  type: string,
  failure: (message: string) => Error,
): void {
  if (isFloat({ dtype })) {
    (target as Float32Array).set(values as Float32Array);
    return;
  }
  const elements = target as unknown as Elements;
  for (const [i, value] of (values as unknown as Elements).entries()) {
    const isBig = typeof elements[i] === "bigint";
    elements[i] = isBig ? BigInt(Number.isInteger(value) ? value : 0) : Number(value);
    // A number and a bigint are compared by their exact values.
    // biome-ignore lint/suspicious/noDoubleEquals: they are never identical
    if (elements[i] != value || (dtype === "bool" && value > 1)) {
      throw failure(`element ${i} of ${what} "${name}" is ${value}, which is no ${type}`);
    }
  }
}
