/** Tiny modules that an engine accepts only if it has a feature; each has one function of type () -> (). */

const HEADER = [0, 97, 115, 109, 1, 0, 0, 0];
/** Type section: () -> (); function section: one function of that type. */
const ONE_FUNCTION = [1, 4, 1, 96, 0, 0, 3, 2, 1, 0];

/** A module whose function has this body (before its `end`). */
function moduleOf(...body: number[]): Uint8Array<ArrayBuffer> {
  const code = [0, ...body, 11];
  return Uint8Array.of(...HEADER, ...ONE_FUNCTION, 10, code.length + 2, 1, code.length, ...code);
}

/** i32.const 0; i8x16.splat */
const SPLAT = [65, 0, 253, 15];
const DROP = 26;

const PROBES: Readonly<Record<string, Uint8Array<ArrayBuffer>>> = {
  simd128: moduleOf(...SPLAT, DROP),
  // i32x4.relaxed_trunc_f32x4_s
  "relaxed-simd": moduleOf(...SPLAT, 253, 129, 2, DROP),
};

/** The features of a list that the engine lacks; one that is not known counts as lacking. */
export function missingFeatures(features: readonly string[]): string[] {
  return features.filter((name) => {
    const probe = Object.hasOwn(PROBES, name) ? PROBES[name] : undefined;
    return !probe || !WebAssembly.validate(probe);
  });
}
