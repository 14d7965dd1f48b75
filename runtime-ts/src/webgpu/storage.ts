import { arrayClass, elementCount, type TypedArray } from "../dtypes.js";
import { InputError } from "../errors.js";
import { float16ToNumber, numberToFloat16 } from "../float16.js";
import type { DType, Storage, TensorInfo } from "../manifest.js";

/** An array of stored elements. */
export type Words =
  | Float32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>;

/** The storage types that hold the values of a type. 64-bit integers are held in 32 bits if the compiler says that it may
 * be done; each value is checked then. */
const FITS: Readonly<Record<DType, readonly Storage[]>> = {
  float16: ["f32"],
  float32: ["f32"],
  bfloat16: [],
  float64: [],
  int8: ["i32"],
  int16: ["i32"],
  int32: ["i32"],
  int64: ["i32", "i64"],
  uint8: ["u32", "i32"],
  uint16: ["u32", "i32"],
  uint32: ["u32"],
  uint64: ["u32", "i64"],
  bool: ["u32", "i32"],
};

/** Whether a storage type can hold the values of an element type. */
export function storageFits(dtype: DType, storage: Storage): boolean {
  return FITS[dtype].includes(storage);
}

/** The bytes of an element in storage. */
export function storageBytes(storage: Storage): number {
  return storage === "i64" ? 8 : 4;
}

/** An array of a storage type over a buffer. */
export function wordsOver(
  storage: Storage,
  buffer: ArrayBuffer,
  offset: number,
  length: number,
): Words {
  switch (storage) {
    case "f32":
      return new Float32Array(buffer, offset, length);
    case "i32":
      return new Int32Array(buffer, offset, length);
    case "u32":
      return new Uint32Array(buffer, offset, length);
    case "i64":
      return new BigInt64Array(buffer, offset, length);
  }
}

/** Whether the elements of a type are stored as they are. */
export function isStoredAsIs(dtype: DType, storage: Storage): boolean {
  return storage === "i64" || dtype === "float32" || dtype === "int32" || dtype === "uint32";
}

/** Write elements into words, each widened to 32 bits. */
export function widen(tensor: TensorInfo<number>, source: TypedArray, target: Words): void {
  if (target instanceof BigInt64Array) {
    target.set(source as BigInt64Array | BigUint64Array);
  } else if (source instanceof BigInt64Array || source instanceof BigUint64Array) {
    for (let i = 0; i < target.length; i++) {
      const value = Number(source[i]);
      target[i] = value;
      if (target[i] !== value) {
        const problem = `input "${tensor.name}": element ${i} (${source[i]}) does not fit the 32 bits it has on the GPU`;
        throw new InputError("out-of-range", tensor.name, problem);
      }
    }
  } else if (tensor.dtype === "float16" && source instanceof Uint16Array) {
    for (let i = 0; i < target.length; i++) target[i] = float16ToNumber(source[i] as number);
  } else {
    target.set(source as Exclude<TypedArray, BigInt64Array | BigUint64Array>);
  }
}

/** A new array of a tensor's own type with the elements of words. */
export function narrow(tensor: TensorInfo<number>, words: Words): TypedArray {
  const out = new (arrayClass(tensor.dtype))(elementCount(tensor.shape));
  if (words instanceof BigInt64Array) {
    (out as BigInt64Array).set(words);
  } else if (out instanceof BigInt64Array || out instanceof BigUint64Array) {
    for (let i = 0; i < out.length; i++) out[i] = BigInt(words[i] as number);
  } else if (tensor.dtype === "float16" && out instanceof Uint16Array) {
    for (let i = 0; i < out.length; i++) out[i] = numberToFloat16(words[i] as number);
  } else {
    out.set(words);
  }
  return out;
}
