import type { Backend, Outputs, Profile, Tensors } from "./backend.js";
import { type BackendFailure, DisposedError } from "./errors.js";
import { type BoundInputs, bindInputs, type Inputs } from "./inputs.js";
import type { BackendName, Expression, Manifest, SizeSymbol, TensorInfo } from "./manifest.js";
import { seedWords } from "./seed.js";
import { expressionText, type Sizes, tensorAt } from "./sizes.js";

/** How a model is run. */
export interface RunOptions {
  /**
   * From 0 to 2^53 - 1: the same seed gives the same random numbers. Without one, each run draws others. A model that
   * draws none ignores it.
   */
  readonly seed?: number | undefined;
}

/** A loaded model. Made by `load`. */
export class Model {
  readonly name: string;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /** The sizes that a run sets: names in the shapes of `inputs` and `outputs`. */
  readonly symbols: readonly SizeSymbol[];
  /** What the model says of itself in free text (ONNX's `metadata_props`). */
  readonly metadata: Readonly<Record<string, string>>;
  /** The back ends that were passed over before this one, and why. */
  readonly failures: readonly BackendFailure[];
  readonly #info: Omit<Manifest, "backends">;
  readonly #backend: Backend;
  #disposed = false;
  /** Settles when the last run asked for has ended. */
  #tail: Promise<unknown> = Promise.resolve();

  /** @internal */
  constructor(
    info: Omit<Manifest, "backends">,
    backend: Backend,
    failures: readonly BackendFailure[],
  ) {
    this.name = info.name;
    this.#info = info;
    this.inputs = info.inputs.map(described);
    this.outputs = info.outputs.map(described);
    this.symbols = info.symbols ?? [];
    this.metadata = info.metadata ?? {};
    this.failures = failures;
    this.#backend = backend;
  }

  /** The back end that runs the model. */
  get backend(): BackendName {
    return this.#backend.name;
  }

  /** How many threads of the CPU share the work: one on WebGPU, and where threads cannot share memory. */
  get threads(): number {
    return this.#backend.threads;
  }

  /**
   * Settles when all files of the model are there and have been checked. A run waits for what it needs by itself.
   *
   * @throws DownloadError, ChecksumError, AbortedError
   */
  get arrived(): Promise<void> {
    return this.#backend.arrived;
  }

  /**
   * Run the model. Runs that overlap wait for each other; leave the arrays of the inputs alone until theirs has ended.
   *
   * @param inputs an array for each of `inputs`, of its type and number of elements, in row-major order; or `{ data, dims }`
   *   where more than one of its sizes is set by the run
   * @param options the seed of a model that draws random numbers
   * @returns an array for each of `outputs`, which are the caller's to keep, in an object without a prototype; each has
   *   `dims`, the size of each dimension
   * @throws InputError if the arrays do not fit `inputs`, or the seed is none
   * @throws DownloadError, ChecksumError, AbortedError if the weights do not arrive
   * @throws DeviceLostError, ExecutionError, DisposedError
   */
  async run(inputs: Inputs, { seed }: RunOptions = {}): Promise<Outputs> {
    const bound = this.#bind(inputs, seed);
    const outputs = await this.#enqueue(() => this.#backend.run(bound));
    return this.#withDims(outputs, bound.sizes);
  }

  /** Run the model launch by launch, and time each. */
  async profile(inputs: Inputs, { seed }: RunOptions = {}): Promise<Profile> {
    const bound = this.#bind(inputs, seed);
    const profile = await this.#enqueue(() => this.#backend.profile(bound));
    return { ...profile, outputs: this.#withDims(profile.outputs, bound.sizes) };
  }

  /**
   * The shape of each input or output for some values of the symbols.
   *
   * @internal
   */
  shapesAt(role: "inputs" | "outputs", sizes: Sizes): (readonly number[])[] {
    return this.#info[role].map((tensor) => tensorAt(tensor, sizes).shape);
  }

  /** Free all memory. Runs that have not ended fail with a `DisposedError`. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#backend.dispose();
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(async () => {
      this.#ensureAlive();
      try {
        return await work();
      } catch (error) {
        this.#ensureAlive();
        throw error;
      }
    });
    this.#tail = result.catch(() => undefined);
    return result;
  }

  #ensureAlive(): void {
    if (this.#disposed) throw new DisposedError();
  }

  #bind(inputs: Inputs, seed: number | undefined): BoundInputs {
    this.#ensureAlive();
    return { ...bindInputs(this.#info, inputs), seed: seedWords(seed) };
  }

  #withDims(outputs: Tensors, sizes: Sizes): Outputs {
    for (const tensor of this.#info.outputs) {
      // Not among the keys, so that an array is what it was to whoever looks at its elements.
      const value = tensorAt(tensor, sizes).shape;
      Object.defineProperty(outputs[tensor.name], "dims", { value });
    }
    return outputs as Outputs;
  }
}

function described(tensor: TensorInfo<Expression>): TensorInfo {
  const shape = tensor.shape.map((n) => (typeof n === "number" ? n : expressionText(n)));
  return { ...tensor, shape };
}
