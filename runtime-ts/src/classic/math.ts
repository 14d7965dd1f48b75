/**
 * The positions of the greatest elements, the greatest first; of equal ones the first. NaN counts as -Infinity.
 *
 * @param k how many (all, if there are fewer)
 */
export function argmax(arr: number[] | Float32Array, k = 1): number[] {
  return greatest(Float64Array.from(arr, keyOf), k);
}

/** The positions of the least elements, the least first; of equal ones the first. NaN counts as Infinity. */
export function argmin(arr: number[] | Float32Array | Int32Array, k = 1): number[] {
  return greatest(
    Float64Array.from(arr, (value) => keyOf(-value)),
    k,
  );
}

function keyOf(value: number): number {
  return Number.isNaN(value) ? Number.NEGATIVE_INFINITY : value;
}

/** Only what may be among the `k` greatest is put in order. */
function greatest(keys: Float64Array, k: number): number[] {
  const least = keys.slice().sort()[Math.max(0, keys.length - k)] as number;
  const found: number[] = [];
  for (const [i, key] of keys.entries()) if (key >= least) found.push(i);
  // The difference of equal infinities is NaN.
  const order = (a: number, b: number) => (keys[b] as number) - (keys[a] as number) || a - b;
  return found.sort(order).slice(0, k);
}
