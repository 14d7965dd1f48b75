import type { DType } from "./manifest.js";

/** The arrays that hold the elements of inputs and outputs. */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint8ClampedArray
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Float16Array;

type ArrayClass = {
  readonly name: string;
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): TypedArray;
  new (buffer: ArrayBufferLike, offset: number, length: number): TypedArray;
};

const float16Class: ArrayClass | undefined =
  typeof Float16Array === "undefined" ? undefined : Float16Array;

/** The classes accepted for an input of each type. The first is the class of outputs. */
const CLASSES: Readonly<Record<DType, readonly ArrayClass[]>> = {
  // JavaScript has no class for it: these are its bits.
  bfloat16: [Uint16Array],
  float16: float16Class ? [float16Class, Uint16Array] : [Uint16Array],
  float32: [Float32Array],
  float64: [Float64Array],
  int8: [Int8Array],
  int16: [Int16Array],
  int32: [Int32Array],
  int64: [BigInt64Array],
  uint8: [Uint8Array, Uint8ClampedArray],
  uint16: [Uint16Array],
  uint32: [Uint32Array],
  uint64: [BigUint64Array],
  bool: [Uint8Array],
};

/** All element types. */
export const DTYPES = Object.keys(CLASSES) as readonly DType[];

/** The size in bytes of an element in JavaScript and in wasm memory. */
export function elementBytes(dtype: DType): number {
  return arrayClass(dtype).BYTES_PER_ELEMENT;
}

/** The class of the arrays in which outputs of a type are given. */
export function arrayClass(dtype: DType): ArrayClass {
  return CLASSES[dtype][0] as ArrayClass;
}

/** The names of the classes that are accepted for an input of a type. */
export function acceptedNames(dtype: DType): string {
  return CLASSES[dtype].map((c) => c.name).join(" or ");
}

/** Whether a value is an array of a class that holds elements of a type. Arrays of other realms are accepted, so the
 * class is told by its tag. */
export function isArrayOf(value: unknown, dtype: DType): value is TypedArray {
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  return ArrayBuffer.isView(value) && CLASSES[dtype].some((c) => c.name === tag);
}

/** The number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1);
}
