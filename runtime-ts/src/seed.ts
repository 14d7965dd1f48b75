import { InputError } from "./errors.js";
import type { TensorInfo } from "./manifest.js";

/** The words of a seed, the low one first. */
export type Seed = Uint32Array<ArrayBuffer>;

/** A seed as the tensor that a package has a place for, where its model draws random numbers. */
export const SEED: TensorInfo<number> = { name: "seed", dtype: "uint32", shape: [2] };

/**
 * The words of a number, or random ones.
 *
 * @throws InputError if it is no integer from 0 to 2^53 - 1
 */
export function seedWords(seed?: number): Seed {
  if (seed === undefined) return crypto.getRandomValues(new Uint32Array(2));
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new InputError("out-of-range", SEED.name, `there cannot be a seed of ${seed}`);
  }
  return Uint32Array.of(seed, seed / 2 ** 32);
}
