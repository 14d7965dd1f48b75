import { ManifestError } from "./errors.js";

/** A function that throws a `ManifestError` unless the value at a path of the manifest is a `T`. */
export type Rule<T> = { readonly of?: T; (value: unknown, path: string): void };

/** What is in arrays and objects is left out: there may be any amount of it, nested to any depth. */
function show(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? "[]" : `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return (typeof value === "string" ? JSON.stringify(value) : String(value)).slice(0, 60);
}

/** A string, of a form if one is given. */
export function text(pattern?: RegExp, what = "a string"): Rule<string> {
  return (value, path) => {
    if (typeof value !== "string" || (pattern && !pattern.test(value))) {
      throw new ManifestError(path, `must be ${what}, not ${show(value)}`);
    }
  };
}

/** An integer of at least `least`, and of at most `most` if that is given. */
export function integer(least: number, most?: number): Rule<number> {
  return (value, path) => {
    const number = value as number;
    if (!Number.isSafeInteger(value) || number < least || number > (most ?? number)) {
      const limit = most ? ` and at most ${most}` : "";
      throw new ManifestError(
        path,
        `must be an integer of at least ${least}${limit}, not ${show(value)}`,
      );
    }
  };
}

/** One of a few literals. */
export function oneOf<const T extends string | number>(...options: readonly T[]): Rule<T> {
  return (value, path) => {
    if (!options.includes(value as T)) {
      throw new ManifestError(
        path,
        `must be ${options.map(show).join(" or ")}, not ${show(value)}`,
      );
    }
  };
}

/** An array of things that pass a rule, of an exact length if one is given. */
export function list<T>(item: Rule<T>, length?: number): Rule<readonly T[]> {
  return (value, path) => {
    if (!Array.isArray(value) || (length !== undefined && value.length !== length)) {
      const what = length === undefined ? "an array" : `an array of ${length}`;
      throw new ManifestError(path, `must be ${what}, not ${show(value)}`);
    }
    for (const [i, v] of value.entries()) item(v, `${path}[${i}]`);
  };
}

/** An object whose values pass a rule. */
export function record<T>(item: Rule<T>): Rule<Readonly<Record<string, T>>> {
  return (value, path) => {
    for (const [key, v] of Object.entries(plainObject(value, path))) item(v, `${path}.${key}`);
  };
}

/** A key of `T` is optional where `undefined` may be read from it. */
type Fields<T> = {
  [K in keyof T]-?: undefined extends T[K]
    ? { optional: Rule<Exclude<T[K], undefined>> }
    : Rule<T[K]>;
};

/** An object with these fields; others are ignored, so that a version may gain some later. */
export function object<T>(fields: Fields<T>): Rule<T> {
  const rules = Object.entries(fields) as [string, Rule<unknown> | { optional: Rule<unknown> }][];
  return (value, path) => {
    const found = plainObject(value, path);
    for (const [key, rule] of rules) {
      const at = path ? `${path}.${key}` : key;
      const optional = typeof rule !== "function";
      if (Object.hasOwn(found, key)) (optional ? rule.optional : rule)(found[key], at);
      else if (!optional) throw new ManifestError(at, "is missing");
    }
  };
}

function plainObject(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ManifestError(path, `must be an object, not ${show(value)}`);
  }
  return value as Record<string, unknown>;
}
