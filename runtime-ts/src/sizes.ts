import { ManifestError } from "./errors.js";
import type {
  Expression,
  Manifest,
  SizeSymbol,
  StateInfo,
  TensorInfo,
  WasmSection,
  WebGpuSection,
} from "./manifest.js";

/** The values of symbols, and of what is defined by them, by name. */
export type Sizes = ReadonlyMap<string, number>;

const OPERATORS: Readonly<Record<string, (a: number, b: number) => number>> = {
  "+": (a, b) => a + b,
  "*": (a, b) => a * b,
  "/": (a, b) => Math.floor(a / b),
  max: Math.max,
};

/** The names of all operators of expressions. */
export const OPERATOR_NAMES = Object.keys(OPERATORS);

/** The number that an expression is; NaN where a name is unknown. */
export function compute(expression: Expression, sizes: Sizes): number {
  if (typeof expression === "number") return expression;
  if (typeof expression === "string") return sizes.get(expression) ?? Number.NaN;
  const [operator, ...operands] = expression;
  const apply = OPERATORS[operator as string] as (a: number, b: number) => number;
  return operands.map((each) => compute(each, sizes)).reduce((a, b) => apply(a, b));
}

/**
 * The size that an expression is.
 *
 * @throws ManifestError if it is none
 */
export function sizeOf(expression: Expression, sizes: Sizes): number {
  const value = compute(expression, sizes);
  if (Number.isSafeInteger(value) && value >= 0) return value + 0;
  throw new ManifestError("", `has an expression that is no size: ${expressionText(expression)}`);
}

/** The names in an expression. */
export function namesIn(expression: Expression): string[] {
  if (typeof expression === "object") return expression.slice(1).flatMap(namesIn);
  return typeof expression === "string" ? [expression] : [];
}

/** An expression for people. */
export function expressionText(expression: Expression): string {
  if (typeof expression !== "object") return String(expression);
  return `(${expression.slice(1).map(expressionText).join(` ${expression[0]} `)})`;
}

/** Whether a symbol may have a value. */
export function admits({ low, high, multiple }: SizeSymbol, value: number): boolean {
  return value >= low && value <= high && value % multiple === 0;
}

/** The likely values of symbols. */
export function likelySizes(symbols: readonly SizeSymbol[] = []): Sizes {
  return new Map(symbols.map(({ name, likely }) => [name, likely]));
}

/** Sizes as they are told apart. */
export function keyOf(sizes: Sizes): string {
  return [...sizes.values()].join();
}

/** A tensor with numbers for the sizes of its shape. */
export function tensorAt(tensor: TensorInfo<Expression>, sizes: Sizes): TensorInfo<number> {
  return { ...tensor, shape: tensor.shape.map((size) => sizeOf(size, sizes)) };
}

/** A state with numbers for the sizes of its shape. */
export function stateAt(state: StateInfo<Expression>, sizes: Sizes): StateInfo<number> {
  return { ...state, shape: state.shape.map((size) => sizeOf(size, sizes)) };
}

const ONE = ["offset", "bytes"];
const SEVERAL = ["workgroups", "sizes", "words"];
type Entry = Record<string, unknown>;

function entryAt(entry: Entry, sizes: Sizes): Entry {
  const found: Entry = { ...entry };
  for (const key of ONE) {
    if (key in entry) found[key] = sizeOf(entry[key] as Expression, sizes);
  }
  for (const key of SEVERAL) {
    if (key in entry) found[key] = (entry[key] as Expression[]).map((each) => sizeOf(each, sizes));
  }
  if (entry.bindings)
    found.bindings = (entry.bindings as Entry[]).map((each) => entryAt(each, sizes));
  return found;
}

/**
 * The section of a back end with numbers in the place of expressions.
 *
 * @param turn 0 or 1: where wasm's states have changed places
 * @throws ManifestError if an expression is no size
 */
export function sectionAt(
  section: WasmSection<Expression>,
  sizes: Sizes,
  turn?: number,
): WasmSection;
export function sectionAt(section: WebGpuSection<Expression>, sizes: Sizes): WebGpuSection;
export function sectionAt(
  section: WasmSection<Expression> | WebGpuSection<Expression>,
  sizes: Sizes,
  turn = 0,
): unknown {
  const known = new Map(sizes);
  if ("turn" in section && section.turn !== undefined) known.set(section.turn, turn);
  for (const { name, size } of section.definitions ?? []) known.set(name, sizeOf(size, known));
  const found: Entry = { ...section };
  for (const key of ["arena", "table", "seed"]) {
    if (found[key]) found[key] = entryAt(found[key] as Entry, known);
  }
  for (const key of ["inputs", "outputs", "launches", "buffers"]) {
    if (found[key]) found[key] = (found[key] as Entry[]).map((each) => entryAt(each, known));
  }
  return found;
}

/** A manifest with numbers in the place of expressions. @throws ManifestError if one is no size */
export function manifestAt(manifest: Manifest, sizes: Sizes): Manifest<number> {
  const { wasm, webgpu } = manifest.backends;
  const states = manifest.states?.map((state) => stateAt(state, sizes));
  return {
    ...(manifest as Omit<Manifest, "states">),
    ...(states && { states }),
    inputs: manifest.inputs.map((tensor) => tensorAt(tensor, sizes)),
    outputs: manifest.outputs.map((tensor) => tensorAt(tensor, sizes)),
    backends: {
      ...(wasm && { wasm: sectionAt(wasm, sizes) }),
      ...(webgpu && { webgpu: sectionAt(webgpu, sizes) }),
    },
  };
}
