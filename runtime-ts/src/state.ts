import { noTensors, type Tensors } from "./backend.js";
import { arrayClass, elementCount, type TypedArray } from "./dtypes.js";
import { InputError } from "./errors.js";
import type { Tensor } from "./inputs.js";
import type { Manifest, SizeSymbol, StateInfo } from "./manifest.js";
import { allocate } from "./memory.js";
import { compute, namesIn, type Sizes, stateAt } from "./sizes.js";

/**
 * What a model remembers between runs: all of its states together, such as the cache of a decoder. Made by
 * `Model.createState`; a run that is given one begins with it and leaves it changed.
 */
export class ModelState {
  /**
   * The values of the symbols in the states' shapes; undefined at first, and after a reset.
   *
   * @internal
   */
  sizes: Sizes | undefined;
  /**
   * The elements by the names of the inputs, where they are not on the device; undefined where they are, or are 0.
   *
   * @internal
   */
  arrays: Tensors | undefined;
  /** @internal */
  readonly owner: unknown;

  /** @internal */
  constructor(owner: unknown) {
    this.owner = owner;
  }

  /** @internal */
  reset(): void {
    this.sizes = this.arrays = undefined;
  }

  /**
   * The symbols that a run finds set, before it looks at its inputs.
   *
   * @internal
   */
  known(symbols: readonly SizeSymbol[]): Sizes {
    const grow = symbols.filter(({ next }) => next !== undefined);
    return this.sizes ?? new Map(grow.map(({ name, low }) => [name, low]));
  }
}

type Info = Pick<Manifest, "states" | "symbols">;

/**
 * The symbols of the states' shapes after a run of some sizes.
 *
 * @throws InputError if the states have no room for what it would give
 */
export function sizesAfter({ states = [], symbols = [] }: Info, sizes: Sizes): Sizes {
  const found = new Map<string, number>();
  for (const { name, low, high, multiple, next = name } of symbols) {
    const owner = states.find(({ shape }) => shape.flatMap(namesIn).includes(name));
    if (!owner) continue;
    const value = compute(next, sizes);
    if (!(value >= low && value <= high && value % multiple === 0)) {
      const problem = `state "${owner.input}" has no room for this run: it has ${sizes.get(name)} of ${name} and would have ${value}, where ${high} is the most`;
      throw new InputError("out-of-range", owner.input, problem);
    }
    found.set(name, value);
  }
  return found;
}

/** Where a back end keeps states. */
interface Places {
  /** A copy of the elements of the state with this number, of a shape, out of the place that is read. */
  read(number: number, state: StateInfo<number>): TypedArray | Promise<TypedArray>;
  /** Put elements there. */
  write(number: number, state: StateInfo<number>, elements: TypedArray): void;
}

/** Whose states are on the device, and which of the two places of each is read. */
export class StatesOnDevice {
  readonly #info: Info;
  readonly #places: Places;
  #owner: ModelState | undefined;
  /** 0 or 1: how often the places have been exchanged, by turns. */
  turn = 0;

  constructor(info: Info, places: Places) {
    this.#info = info;
    this.#places = places;
  }

  /** Whether a state is there, so that a run need not wait for it. */
  has(state: ModelState): boolean {
    return this.#owner === state || !this.#info.states;
  }

  /** Take what is on the device from there, if it is not this state. */
  async leave(next: ModelState): Promise<void> {
    const owner = this.#owner;
    if (owner === next) return;
    if (owner?.sizes && !owner.arrays) owner.arrays = await this.#elements(owner.sizes);
    this.#owner = undefined;
  }

  /** Bring a state to the device, which nobody else's is on, for a run of some sizes. */
  enter(state: ModelState, sizes: Sizes): void {
    const { arrays } = state;
    if (!state.sizes || arrays || this.#owner !== state) {
      for (const [i, info] of this.#at(sizes).entries())
        this.#places.write(i, info, arrays?.[info.input] ?? zeros(info));
    }
    state.arrays = undefined;
    this.#owner = state;
  }

  /** A run has written a state, whose shapes have these sizes now. */
  done(state: ModelState, sizes: Sizes): void {
    this.turn = 1 - this.turn;
    state.sizes = sizes;
  }

  /** A copy of a state, by the names of the inputs. */
  async elements({ sizes, arrays }: ModelState): Promise<Record<string, Tensor>> {
    const least = (this.#info.symbols ?? []).map(({ name, low }): [string, number] => [name, low]);
    const known = new Map([...least, ...(sizes ?? [])]);
    const found = sizes && !arrays ? await this.#elements(sizes) : arrays;
    const tensors = Object.create(null) as Record<string, Tensor>;
    for (const info of this.#at(known)) {
      const data = found?.[info.input]?.slice() ?? zeros(info);
      tensors[info.input] = { data, dims: info.shape };
    }
    return tensors;
  }

  async #elements(sizes: Sizes): Promise<Tensors> {
    const found = noTensors();
    for (const [i, info] of this.#at(sizes).entries())
      found[info.input] = await this.#places.read(i, info);
    return found;
  }

  #at(sizes: Sizes): StateInfo<number>[] {
    return (this.#info.states ?? []).map((state) => stateAt(state, sizes));
  }
}

function zeros({ dtype, shape }: StateInfo<number>): TypedArray {
  const bytes = elementCount(shape) * arrayClass(dtype).BYTES_PER_ELEMENT;
  return allocate(bytes, () => new (arrayClass(dtype))(elementCount(shape)));
}
