import { noTensors, type Tensors } from "./backend.js";
import { acceptedNames, elementCount, isArrayOf, type TypedArray } from "./dtypes.js";
import { InputError } from "./errors.js";
import type { Expression, Manifest, TensorInfo } from "./manifest.js";
import type { Seed } from "./seed.js";
import { admits, compute, expressionText, namesIn, type Sizes, tensorAt } from "./sizes.js";
import type { ModelState } from "./state.js";

/** Elements in row-major order, and the size of each dimension. */
export interface Tensor {
  readonly data: TypedArray;
  readonly dims: readonly number[];
}

/** What a run takes by the name of the input: an array will do, where all but one size of the input follow. */
export type Inputs = Readonly<Record<string, TypedArray | Tensor>>;

/** The arrays of a run, the value of each symbol, the seed of its random numbers, and the state that it begins with. */
export interface BoundInputs {
  readonly arrays: Tensors;
  readonly sizes: Sizes;
  readonly seed: Seed;
  readonly state: ModelState;
  /** What the run makes of the sizes of the state. */
  readonly following: Sizes;
}

type Info = TensorInfo<Expression>;

/**
 * Check what a run is given, and find the sizes that it sets.
 *
 * @param stated the sizes that the states of the model say
 * @throws InputError
 */
export function bindInputs(
  { inputs, symbols = [] }: Pick<Manifest, "inputs" | "symbols">,
  given: Inputs,
  stated: Sizes = new Map(),
): Pick<BoundInputs, "arrays" | "sizes"> {
  const arrays = noTensors();
  const sizes = new Map(stated);
  const unknownIn = (size: Expression): string[] =>
    namesIn(size).filter((name) => !sizes.has(name));
  /** A dimension is `found`: that says what the only unknown symbol of its size is, if it stands there times a number. */
  const set = (tensor: Info, dimension: number, found: number): void => {
    const size = tensor.shape[dimension] as Expression;
    const names = new Set(typeof size === "string" ? [size] : unknownIn(size));
    const symbol = symbols.find(({ name }) => names.has(name));
    if (!symbol || names.size > 1) return;
    const { name, low, high, multiple } = symbol;
    const at = (value: number): number => compute(size, new Map(sizes).set(name, value));
    const value = ((found - at(0)) / (at(multiple) - at(0))) * multiple;
    const what = `has ${value} for ${name} (dimension ${dimension})`;
    const known = sizes.get(name) ?? value;
    if (value !== known) {
      const other = stated.has(name) ? "the state" : "another input";
      fail("wrong-shape", tensor, `${what}, where ${other} has ${known}`);
    }
    if (!admits(symbol, value)) {
      const unit = multiple > 1 ? `, a multiple of ${multiple}` : "";
      fail("out-of-range", tensor, `${what}: it can be ${low} to ${high}${unit}`);
    }
    sizes.set(name, value);
  };
  const unknown = Object.keys(given ?? {}).find((key) => !inputs.some((t) => t.name === key));
  const dims = new Map<Info, readonly number[]>();
  for (const tensor of inputs) {
    const found = unpack(tensor, given, symbols.length > 0);
    arrays[tensor.name] = found.data;
    if (!found.dims) continue;
    dims.set(tensor, found.dims);
    for (const [i, n] of found.dims.entries())
      if (typeof tensor.shape[i] === "string") set(tensor, i, n);
  }
  if (unknown !== undefined) {
    const names = inputs.map((t) => `"${t.name}"`).join(", ");
    const problem = `there is no input "${unknown}"; the inputs are ${names || "none"}`;
    throw new InputError("unknown-input", unknown, problem);
  }
  for (const [tensor, found] of dims) for (const [i, n] of found.entries()) set(tensor, i, n);
  const isKnown = (size: Expression): boolean => unknownIn(size).length === 0;
  /** Whether the sizes of an array follow from its length. */
  const follows = (tensor: Info): boolean => {
    const { shape } = tensor;
    const open = [...shape.keys()].filter((i) => !isKnown(shape[i] as Expression));
    if (open.length === 0) return true;
    const rest = shape.filter((_, i) => i !== open[0]);
    if (open.length > 1) return false;
    const count = elementCount(tensorAt({ ...tensor, shape: rest }, sizes).shape);
    const { length } = arrays[tensor.name] as TypedArray;
    if (length % count > 0) failLength(tensor, shape, `a multiple of ${count}`, length);
    if (count > 0) set(tensor, open[0] as number, length / count);
    return isKnown(shape[open[0] as number] as Expression);
  };
  let open = inputs.filter((tensor) => !dims.has(tensor));
  for (let before = -1; before !== open.length; ) {
    before = open.length;
    open = open.filter((tensor) => !follows(tensor));
  }
  for (const [tensor, found] of dims) for (const [i, n] of found.entries()) set(tensor, i, n);
  for (const tensor of inputs.filter(({ shape }) => !shape.every(isKnown))) {
    const problem = `of shape ${shapeText(tensor.shape)} does not say its sizes: give { data, dims }`;
    fail("wrong-shape", tensor, problem);
  }
  for (const tensor of inputs) {
    const { shape } = tensorAt(tensor, sizes);
    const found = dims.get(tensor) ?? shape;
    if (found.length !== shape.length || found.some((n, i) => n !== shape[i])) {
      const problem = `of shape ${shapeText(tensor.shape)} cannot have dims ${shapeText(found)}`;
      fail("wrong-shape", tensor, problem);
    }
    const { length } = arrays[tensor.name] as TypedArray;
    const count = elementCount(shape);
    if (length !== count) failLength(tensor, shape, count, length);
  }
  const found = symbols.flatMap(({ name }): [string, number][] => {
    const value = sizes.get(name);
    return value === undefined ? [] : [[name, value]];
  });
  return { arrays, sizes: new Map(found) };
}

function shapeText(shape: readonly Expression[]): string {
  return `[${shape.map(expressionText).join(", ")}]`;
}

function fail(code: InputError["code"], { name }: Info, problem: string): never {
  throw new InputError(code as "wrong-shape", name, `input "${name}" ${problem}`);
}

function failLength(
  tensor: Info,
  shape: readonly Expression[],
  count: string | number,
  length: number,
): never {
  fail(
    "wrong-length",
    tensor,
    `of shape ${shapeText(shape)} takes ${count} elements, not ${length}`,
  );
}

/** The array of an input and, where it has some, its dims: an output that is an input again has its own. */
function unpack(
  tensor: Info,
  given: Inputs,
  isSymbolic: boolean,
): { data: TypedArray; dims: readonly number[] | undefined } {
  const { name, dtype } = tensor;
  const value: unknown = Object.hasOwn(given ?? {}, name) ? given[name] : undefined;
  if (value === undefined) fail("missing-input", tensor, "is missing");
  const isBare = ArrayBuffer.isView(value);
  const { data = value, dims } = (isBare && !isSymbolic ? {} : (value ?? {})) as Partial<Tensor>;
  if (!isArrayOf(data, dtype)) {
    const found = Object.prototype.toString.call(data).slice(8, -1);
    fail("wrong-dtype", tensor, `is ${dtype}, so it takes ${acceptedNames(dtype)}, not ${found}`);
  }
  return { data, dims };
}
