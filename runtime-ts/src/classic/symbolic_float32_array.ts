/** The elements of an input or output: an array that stays where it is from run to run. */
export class SymbolicFloat32Array extends Float32Array {
  /** Where the first element is in `buffer`, counted in elements. */
  get offset(): number {
    return this.byteOffset / this.BYTES_PER_ELEMENT;
  }

  /** The elements as an array with the same memory. */
  toActual(): Float32Array {
    return new Float32Array(this.buffer, this.byteOffset, this.length);
  }

  /** Copy elements (of nested arrays, too) into this array, from `offset` on. */
  override set(array: ArrayLike<number>, offset?: number): void {
    super.set(flat(array), offset);
  }
}

/** The elements of nested arrays, or of whatever has elements, one after the other. */
export function flat(array: ArrayLike<number>): ArrayLike<number> {
  return Array.isArray(array) ? array.flat(Number.POSITIVE_INFINITY) : array;
}
