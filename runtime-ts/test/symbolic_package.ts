/** A package, written by hand, whose run sets two sizes: y[s, t] = x[s, t] doubled, and z[s + 1] = ones. */

import { assembleWat, xxh32 } from "../../tests/e2e/fixture.mjs";

const TABLE = 1024;
const ARENA = 2048;
const BYTES = ["*", "s", "t", 4];
/** The arena: x, y behind it, z behind both. */
const WORDS = [["*", "s", "t"], ["+", ["*", "s", 1], 1], ARENA, ["+", BYTES, ARENA], "end"];

const TEXT = `(module (import "env" "memory" (memory 1 100))
  (func (export "run_range") (param $b i32) (param $e i32) (local $i i32)
    (block $done (loop $l
      (br_if $done (i32.ge_u (local.get $i) (i32.load (i32.const ${TABLE}))))
      (f32.store
        (i32.add (i32.load (i32.const ${TABLE + 12})) (i32.shl (local.get $i) (i32.const 2)))
        (f32.mul (f32.const 2) (f32.load
          (i32.add (i32.load (i32.const ${TABLE + 8})) (i32.shl (local.get $i) (i32.const 2))))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $l)))
    (local.set $i (i32.const 0))
    (block $full (loop $m
      (br_if $full (i32.ge_u (local.get $i) (i32.load (i32.const ${TABLE + 4}))))
      (f32.store
        (i32.add (i32.load (i32.const ${TABLE + 16})) (i32.shl (local.get $i) (i32.const 2)))
        (f32.const 1))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $m)))))`;

/** The files of the package; `maxPages` is how far its memory grows. */
export async function makeSymbolicPackage(maxPages = 100) {
  const files = new Map<string, Uint8Array>();
  const add = (file: string, content: Uint8Array) => {
    files.set(file, content);
    return { file, bytes: content.length, xxh32: xxh32(content) };
  };
  const place = (offset: unknown, bytes: unknown) => ({ offset, bytes });
  const binding = (buffer: number, bytes: unknown) => ({ buffer, offset: 0, bytes });
  const source = new TextEncoder().encode("// double, ones");
  const zBytes = ["+", ["*", "s", 4], 4];
  const symbols = [
    { name: "s", low: 0, high: 400, multiple: 1, likely: 3 },
    { name: "t", low: 2, high: 4000, multiple: 2, likely: 8 },
  ];
  const tensor = (name: string, shape: unknown[]) => ({ name, dtype: "float32", shape });
  // biome-ignore lint/suspicious/noExplicitAny: tests spoil it
  const manifest: any = {
    format: "webdnn-package",
    version: 4,
    generator: "test",
    name: "symbolic",
    symbols,
    inputs: [tensor("x", ["s", "t"]), tensor("v", ["t"])],
    outputs: [tensor("y", ["s", "t"]), tensor("z", [["+", "s", 1]])],
    backends: {
      wasm: {
        modules: [{ ...add("m.wasm", await assembleWat(TEXT)), features: [] }],
        memory: { pages: 1, maxPages },
        weights: { offset: 512, bytes: 0, shards: [] },
        definitions: [{ name: "end", size: ["+", ["*", BYTES, 2], ARENA] }],
        table: { offset: TABLE, words: WORDS },
        arena: place(ARENA, ["+", ["*", BYTES, 2], zBytes, ["*", "t", 4]]),
        inputs: [place(ARENA, BYTES), place(["+", "end", zBytes], ["*", "t", 4])],
        outputs: [place(["+", BYTES, ARENA], BYTES), place("end", zBytes)],
        launches: [{ kernel: "all", label: [] }],
      },
      webgpu: {
        features: [],
        limits: {},
        weights: { bytes: 0, shards: [] },
        buffers: [
          { kind: "arena", bytes: BYTES },
          { kind: "arena", bytes: BYTES },
          { kind: "arena", bytes: zBytes },
          { kind: "arena", bytes: ["*", "t", 4] },
        ],
        shaders: [add("k.wgsl", source)],
        kernels: [
          {
            name: "double",
            shader: 0,
            entryPoint: "double",
            bindings: ["read", "read_write"],
            sizes: 1,
          },
          { name: "ones", shader: 0, entryPoint: "ones", bindings: ["read_write"], sizes: 2 },
        ],
        launches: [
          {
            kernel: 0,
            workgroups: [["/", ["+", "s", 63], 64], 1, 1],
            bindings: [binding(0, BYTES), binding(1, BYTES)],
            sizes: [["*", "s", "t"]],
            label: [],
          },
          {
            kernel: 1,
            workgroups: [1, 1, 1],
            bindings: [binding(2, zBytes)],
            sizes: ["s", 1],
            label: [],
          },
        ],
        inputs: [
          { ...binding(0, BYTES), storage: "f32" },
          { ...binding(3, ["*", "t", 4]), storage: "f32" },
        ],
        outputs: [
          { ...binding(1, BYTES), storage: "f32" },
          { ...binding(2, zBytes), storage: "f32" },
        ],
      },
    },
  };
  return { manifest, files };
}
