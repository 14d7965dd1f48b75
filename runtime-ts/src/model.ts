import type { Backend, Profile, Tensors } from "./backend.js";
import { acceptedNames, elementCount, isArrayOf } from "./dtypes.js";
import { type BackendFailure, DisposedError, InputError } from "./errors.js";
import type { BackendName, Manifest, TensorInfo } from "./manifest.js";
import { seedWords } from "./seed.js";

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
  /** What the model says of itself in free text (ONNX's `metadata_props`). */
  readonly metadata: Readonly<Record<string, string>>;
  /** The back ends that were passed over before this one, and why. */
  readonly failures: readonly BackendFailure[];
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
    this.inputs = info.inputs;
    this.outputs = info.outputs;
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
   * @param inputs an array for each of `inputs`, of its type and number of elements, in row-major order
   * @param options the seed of a model that draws random numbers
   * @returns an array for each of `outputs`, which are the caller's to keep, in an object without a prototype
   * @throws InputError if the arrays do not fit `inputs`, or the seed is none
   * @throws DownloadError, ChecksumError, AbortedError if the weights do not arrive
   * @throws DeviceLostError, ExecutionError, DisposedError
   */
  async run(inputs: Tensors, { seed }: RunOptions = {}): Promise<Tensors> {
    this.#check(inputs);
    const words = seedWords(seed);
    return this.#enqueue(() => this.#backend.run(inputs, words));
  }

  /** Run the model launch by launch, and time each. */
  async profile(inputs: Tensors, { seed }: RunOptions = {}): Promise<Profile> {
    this.#check(inputs);
    const words = seedWords(seed);
    return this.#enqueue(() => this.#backend.profile(inputs, words));
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

  #check(inputs: Tensors): void {
    this.#ensureAlive();
    for (const tensor of this.inputs) checkInput(tensor, inputs);
    for (const name of Object.keys(inputs ?? {})) {
      if (!this.inputs.some((t) => t.name === name)) {
        const known = this.inputs.map((t) => `"${t.name}"`).join(", ");
        const problem = `there is no input "${name}"; the inputs are ${known || "none"}`;
        throw new InputError("unknown-input", name, problem);
      }
    }
  }
}

function checkInput(tensor: TensorInfo, inputs: Tensors): void {
  const { name, dtype, shape } = tensor;
  const value: unknown = Object.hasOwn(inputs ?? {}, name) ? inputs[name] : undefined;
  if (value === undefined) {
    throw new InputError("missing-input", name, `input "${name}" is missing`);
  }
  if (!isArrayOf(value, dtype)) {
    const found = Object.prototype.toString.call(value).slice(8, -1);
    const problem = `input "${name}" is ${dtype}, so it takes ${acceptedNames(dtype)}, not ${found}`;
    throw new InputError("wrong-dtype", name, problem);
  }
  const count = elementCount(shape);
  if (value.length !== count) {
    const problem = `input "${name}" of shape [${shape.join(", ")}] takes ${count} elements, not ${value.length}`;
    throw new InputError("wrong-length", name, problem);
  }
}
