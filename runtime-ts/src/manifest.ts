/**
 * The types of `model.json`. driver/package.schema.json says the same as a JSON Schema, docs/architecture.md in prose.
 */

/** The element types of inputs and outputs, named as ONNX names them. */
export type DType =
  | "bfloat16"
  | "float16"
  | "float32"
  | "float64"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "uint8"
  | "uint16"
  | "uint32"
  | "uint64"
  | "bool";

/** The names of the classes that a tensor speaks of. */
export interface Labels {
  /** The dimension with an element for each class; left out where the elements themselves are numbers of classes. */
  readonly axis?: number;
  /** One for each class, in their order. */
  readonly names: readonly string[];
}

/** A size: a number, the name of a symbol, or `[operator, operand, ...]` with `+`, `*`, `max` or `/`, which rounds down. */
export type Expression = number | string | readonly Expression[];

/** A size that the shapes of the inputs of a run set. */
export interface SizeSymbol {
  readonly name: string;
  /** Its least and its greatest value. */
  readonly low: number;
  readonly high: number;
  /** What each value is a multiple of. */
  readonly multiple: number;
  /** The value for which the model was compiled to be fast. */
  readonly likely: number;
  /** Of a size that states have: what it is in the next run. At first it is `low`. */
  readonly next?: Expression;
}

/** A name for a size in the expressions of a back end. */
export interface Definition {
  readonly name: string;
  readonly size: Expression;
}

/** The name, type and shape of an input or output. A size that a run sets is the name of a symbol, or an expression of some. */
export interface TensorInfo<N = number | string> {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly N[];
  readonly labels?: Labels;
}

/** An output of the model that is kept, and is an input of the next run. At first all of its elements are 0. */
export interface StateInfo<N = number | string> {
  readonly input: string;
  readonly output: string;
  readonly dtype: DType;
  /** Before a run. */
  readonly shape: readonly N[];
}

/** A file of the package; `file` is relative to `model.json`. */
export interface FileRef {
  readonly file: string;
  readonly bytes: number;
  /** Its XXH32 (seed 0), in eight lower-case hexadecimal digits. */
  readonly xxh32: string;
}

/** A range of bytes. */
export interface ByteRange<N = number> {
  readonly offset: N;
  readonly bytes: N;
}

/** A launch of the wasm back end, for the profiler. */
export interface WasmLaunch {
  readonly kernel: string;
  /** How many bytes of the weights, from their beginning, it needs; all where it is left out. */
  readonly weights?: number;
  /** Of a launch at load: the first launch of a run that needs it, counted from the first one that is not at load. */
  readonly before?: number;
  /** Of a launch of `firstRun`: the launch of a run for which it stands, counted likewise. */
  readonly instead?: number;
  /** The ONNX nodes that the kernel computes. */
  readonly label: readonly string[];
}

/** A wasm module and the features an engine needs to run it; `threads` is shared memory. */
export interface WasmModule extends FileRef {
  readonly features: readonly string[];
}

/**
 * What modules for several threads need. The stacks of the threads 1, 2, ... lie behind the memory's `pages`, `stackBytes`
 * each.
 */
export interface WasmThreads {
  readonly max: number;
  /** The pages with the stacks of `max` threads: the module's own maximum. */
  readonly maxPages: number;
  readonly stackBytes: number;
  /** Where the stack of thread 1 begins, if not behind the memory's `pages`. */
  readonly offset?: number;
}

/** Numbers of 32 bits that a module reads. */
export interface SizeTable<N = number> {
  readonly offset: number;
  readonly words: readonly N[];
}

/** The section `backends.wasm`. */
export interface WasmSection<N = number> {
  /** Best first: the first whose features the engine has is taken. */
  readonly modules: readonly WasmModule[];
  /** `maxPages` is how far it grows, where the arena depends on sizes. */
  readonly memory: { readonly pages: number; readonly maxPages?: number };
  /** Where there are modules for several threads. */
  readonly threads?: WasmThreads | undefined;
  readonly weights: ByteRange & { readonly packed?: number; readonly shards: readonly FileRef[] };
  readonly definitions?: readonly Definition[];
  readonly table?: SizeTable<N>;
  readonly arena: ByteRange<N>;
  readonly arenaLowerBound?: number;
  /** Where what is computed at load lies. */
  readonly prepared?: ByteRange;
  readonly inputs: readonly ByteRange<N>[];
  /** Of a model that draws random numbers: where the two words of a run's seed are written. */
  readonly seed?: ByteRange<N>;
  readonly outputs: readonly ByteRange<N>[];
  /** A name in expressions of this section: 0 and 1 by turns, from run to run. */
  readonly turn?: string;
  /** A run reads a state at `offset + turn * bytes` and writes it at `offset + (1 - turn) * bytes`. */
  readonly states?: readonly ByteRange[];
  readonly launches: readonly WasmLaunch[];
  /** How many of the launches, the first ones, run once at load (by the export `prepare`); none where it is left out. */
  readonly prepare?: number;
  /** For a first run that begins before the launches at load. */
  readonly firstRun?: WasmFirstRun;
}

/** Launches that stand for launches of a run and for those at load that these need; they are numbered after all others. */
export interface WasmFirstRun {
  /** How many launches at load may have run before: those here overwrite what the later ones give. */
  readonly limit: number;
  /** Those with the same `instead` follow each other, and stand for that launch together. */
  readonly launches: readonly WasmLaunch[];
}

/**
 * A GPU buffer: a part of the weights (`offset` counts in all weights), an arena buffer, or one for what is computed at load
 * or kept from run to run.
 */
export type GpuBuffer<N = number> =
  | { readonly kind: "weights"; readonly bytes: number; readonly offset: number }
  | { readonly kind: "arena" | "prepared" | "state"; readonly bytes: N };

/** How a kernel uses a binding. */
export type BindingAccess = "read" | "read_write";

/** An entry point of a shader. */
export interface GpuKernel {
  readonly name: string;
  readonly shader: number;
  /** The part of the shader's file that is this kernel's WGSL module; the whole file where it is left out. */
  readonly range?: ByteRange;
  readonly entryPoint: string;
  /** Binding `i` of group 0. */
  readonly bindings: readonly BindingAccess[];
  /** How many sizes it takes, in a uniform at the binding behind these. */
  readonly sizes?: number;
}

/** A range of a GPU buffer. */
export interface BufferRange<N = number> extends ByteRange<N> {
  readonly buffer: number;
}

/** A dispatch. */
export interface GpuLaunch<N = number> {
  readonly kernel: number;
  readonly workgroups: readonly [N, N, N];
  readonly bindings: readonly BufferRange<N>[];
  /** What the kernel takes. */
  readonly sizes?: readonly N[];
  /** The ONNX nodes that the kernel computes. */
  readonly label: readonly string[];
}

/** The type that each element of an input or output has on the GPU; `i64` is two words of 32 bits, the low one first. */
export type Storage = "f32" | "i32" | "u32" | "i64";

/** Where an input or output lies on the GPU. */
export interface GpuTensor<N = number> extends BufferRange<N> {
  readonly storage: Storage;
}

/** Where a state lies on the GPU: the first run reads the first buffer and writes the second one, the next run the reverse. */
export interface GpuState {
  readonly buffers: readonly [number, number];
  readonly storage: Storage;
}

/** The section `backends.webgpu`. */
export interface WebGpuSection<N = number> {
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  /** What the largest sizes need, where that is more. */
  readonly largestLimits?: Readonly<Record<string, number>>;
  readonly weights: { readonly bytes: number; readonly shards: readonly FileRef[] };
  readonly definitions?: readonly Definition[];
  readonly buffers: readonly GpuBuffer<N>[];
  readonly shaders: readonly FileRef[];
  readonly kernels: readonly GpuKernel[];
  readonly launches: readonly GpuLaunch<N>[];
  /** How many of the launches, the first ones, are dispatched once at load; none where it is left out. */
  readonly prepare?: number;
  readonly inputs: readonly GpuTensor<N>[];
  /** Of a model that draws random numbers: where the two words of a run's seed are written. */
  readonly seed?: GpuTensor<N>;
  readonly outputs: readonly GpuTensor<N>[];
  readonly states?: readonly GpuState[];
  readonly arenaLowerBound?: number;
}

/** The names of the back ends. */
export type BackendName = "webgpu" | "wasm";

/** `model.json`; with numbers for `N`, as it is for some sizes. */
export interface Manifest<N = Expression> {
  readonly format: "webdnn-package";
  readonly version: 4;
  readonly generator: string;
  readonly name: string;
  /** What the model says of itself in free text. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** The sizes that a run sets. */
  readonly symbols?: readonly SizeSymbol[];
  readonly inputs: readonly TensorInfo<N>[];
  readonly outputs: readonly TensorInfo<N>[];
  /** What runs keep for the next ones; none of it is among inputs and outputs. */
  readonly states?: readonly StateInfo<N>[];
  readonly backends: { readonly wasm?: WasmSection<N>; readonly webgpu?: WebGpuSection<N> };
}
