/** The sum of a file from those of its pieces; without pieces it is one, whose sum is the file's. */
export class PieceSums {
  readonly #hasPieces: boolean;
  readonly #sums: Promise<ArrayBuffer>[] = [];

  constructor(hasPieces: boolean) {
    this.#hasPieces = hasPieces;
  }

  /**
   * Take the next piece, which has been copied when this returns.
   *
   * @returns settles when at most this one of the pieces is not done
   */
  async add(bytes: Uint8Array): Promise<void> {
    this.#sums.push(digest(bytes));
    await this.#sums.at(-2);
  }

  /** The SHA-256 sum, in hexadecimal digits. */
  async sum(): Promise<string> {
    const sums = await Promise.all(this.#sums);
    const whole = this.#hasPieces ? undefined : sums[0];
    const all = new Uint8Array(sums.length * 32);
    for (const [i, sum] of sums.entries()) all.set(new Uint8Array(sum), i * 32);
    const bytes = new Uint8Array(whole ?? (await digest(all)));
    return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
  }
}

async function digest(bytes: Uint8Array): Promise<ArrayBuffer> {
  // What threads share cannot be handed out.
  const own =
    bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : bytes.slice();
  return crypto.subtle.digest("SHA-256", own);
}
