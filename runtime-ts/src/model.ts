import { type Backend, noTensors, type Outputs, type Profile, type Tensors } from "./backend.js";
import { type BackendFailure, DisposedError, UnsupportedError } from "./errors.js";
import { type BoundInputs, bindInputs, type Inputs, type Tensor } from "./inputs.js";
import type {
  BackendName,
  Expression,
  Manifest,
  SizeSymbol,
  StateInfo,
  TensorInfo,
} from "./manifest.js";
import { seedWords } from "./seed.js";
import { admits, expressionText, likelySizes, type Sizes, tensorAt } from "./sizes.js";
import { ModelState, sizesAfter } from "./state.js";

/** How a model is run. */
export interface RunOptions {
  /**
   * From 0 to 2^53 - 1: the same seed gives the same random numbers. Without one, each run draws others. A model that
   * draws none ignores it.
   */
  readonly seed?: number | undefined;
  /** What a model with states begins with, and leaves changed (see `createState`). By default the model's own. */
  readonly state?: ModelState | undefined;
}

/** A loaded model. Made by `load`. */
export class Model {
  readonly name: string;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /** What runs keep for the next ones, neither given to them nor taken from them. */
  readonly states: readonly StateInfo[];
  /** The sizes that a run sets: names in the shapes of `inputs` and `outputs`. Those with `next` are set by states. */
  readonly symbols: readonly SizeSymbol[];
  /** What the model says of itself in free text (ONNX's `metadata_props`). */
  readonly metadata: Readonly<Record<string, string>>;
  /** The back ends that were passed over before this one, and why. */
  readonly failures: readonly BackendFailure[];
  readonly #info: Omit<Manifest, "backends">;
  readonly #backend: Backend;
  readonly #state = new ModelState(this);
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
    this.states = (info.states ?? []).map((state) => ({ ...state, shape: shown(state.shape) }));
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
   * @throws InputError if the arrays do not fit `inputs`, or the seed is none, or a state has no room for what the run gives
   * @throws DownloadError, ChecksumError, AbortedError if the weights do not arrive
   * @throws DeviceLostError, ExecutionError, DisposedError
   */
  async run(inputs: Inputs, options: RunOptions = {}): Promise<Outputs> {
    return this.#withState(inputs, options, async (bound) =>
      this.#withDims(await this.#backend.run(bound), bound.sizes),
    );
  }

  /** Run the model launch by launch, and time each. */
  async profile(inputs: Inputs, options: RunOptions = {}): Promise<Profile> {
    return this.#withState(inputs, options, async (bound) => {
      const profile = await this.#backend.profile(bound);
      return { ...profile, outputs: this.#withDims(profile.outputs, bound.sizes) };
    });
  }

  /**
   * A new state of a model that has `states`: give it to each run of a sequence, `run(inputs, { state })`. Several do not meet.
   * That of the last run stays on the device; the others are kept aside, so runs that alternate between them copy them.
   */
  createState(): ModelState {
    return new ModelState(this);
  }

  /** Begin anew, when the runs that were asked for before have ended: caches are empty, and all other elements 0. */
  async reset(state = this.#state): Promise<void> {
    this.#ensureOwn(state);
    await this.#enqueue(async () => state.reset());
  }

  /**
   * A copy of all states, when the runs that were asked for before have ended, by the names of the inputs that they are in
   * the next run.
   */
  async getState(state = this.#state): Promise<Record<string, Tensor>> {
    this.#ensureOwn(state);
    return this.#enqueue(() => this.#backend.states.elements(state));
  }

  /**
   * Put other elements in the place of all states, when the runs that were asked for before have ended.
   *
   * @param tensors what `getState` gives: one for each of `states`, by the name of the input
   * @throws InputError if they do not fit
   */
  async setState(tensors: Inputs, state = this.#state): Promise<void> {
    this.#ensureOwn(state);
    const { states = [], symbols = [] } = this.#info;
    const inputs = states.map((info) => ({ ...info, name: info.input }));
    const { arrays, sizes } = bindInputs({ inputs, symbols }, tensors);
    const copies = noTensors();
    for (const [name, array] of Object.entries(arrays)) copies[name] = array.slice();
    await this.#enqueue(async () => {
      state.sizes = sizes;
      state.arrays = copies;
    });
  }

  /**
   * The shape of each input or output for some values of the symbols; others have their likely ones.
   *
   * @internal
   * @throws UnsupportedError if there is no such symbol, or it is never that
   */
  shapesAt(
    role: "inputs" | "outputs",
    values: Readonly<Record<string, number>>,
  ): (readonly number[])[] {
    const sizes = new Map(likelySizes(this.symbols));
    for (const [name, value] of Object.entries(values)) {
      if (!this.symbols.some((symbol) => symbol.name === name && admits(symbol, value))) {
        const problem = `no size "${name}" can be ${value}`;
        throw new UnsupportedError(`${problem}: \`webdnn compile --dim\` leaves sizes open`);
      }
      sizes.set(name, value);
    }
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

  #ensureOwn({ owner }: ModelState): void {
    if (owner !== this) throw new UnsupportedError("the state was made by another model");
  }

  /** Check inputs (those of a model without states at once), and run on them when it is their turn. */
  #withState<T>(
    inputs: Inputs,
    { seed, state = this.#state }: RunOptions,
    work: (bound: BoundInputs) => Promise<T>,
  ): Promise<T> {
    this.#ensureAlive();
    this.#ensureOwn(state);
    const words = seedWords(seed);
    const bind = (): BoundInputs => {
      const bound = bindInputs(this.#info, inputs, state.known(this.symbols));
      return { ...bound, seed: words, state, following: sizesAfter(this.#info, bound.sizes) };
    };
    const early = this.states.length === 0 ? bind() : undefined;
    return this.#enqueue(async () => {
      const bound = early ?? bind();
      const { states } = this.#backend;
      if (!states.has(state)) await states.leave(state);
      return work(bound);
    });
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
  return { ...tensor, shape: shown(tensor.shape) };
}

function shown(shape: readonly Expression[]): (number | string)[] {
  return shape.map((n) => (typeof n === "number" ? n : expressionText(n)));
}
