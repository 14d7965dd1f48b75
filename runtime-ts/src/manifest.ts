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

/** The name, type and static shape of an input or output. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly labels?: Labels;
}

/** A file of the package; `file` is relative to `model.json`. */
export interface FileRef {
  readonly file: string;
  readonly bytes: number;
  /** Its XXH32 (seed 0), in eight lower-case hexadecimal digits. */
  readonly xxh32: string;
}

/** A range of bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly bytes: number;
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
}

/** The section `backends.wasm`. */
export interface WasmSection {
  /** Best first: the first whose features the engine has is taken. */
  readonly modules: readonly WasmModule[];
  readonly memory: { readonly pages: number };
  /** Where there are modules for several threads. */
  readonly threads?: WasmThreads | undefined;
  readonly weights: ByteRange & { readonly packed?: number; readonly shards: readonly FileRef[] };
  readonly arena: ByteRange;
  readonly arenaLowerBound?: number;
  /** Where what is computed at load lies. */
  readonly prepared?: ByteRange;
  readonly inputs: readonly ByteRange[];
  /** Of a model that draws random numbers: where the two words of a run's seed are written. */
  readonly seed?: ByteRange;
  readonly outputs: readonly ByteRange[];
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

/** A GPU buffer: a part of the weights (`offset` counts in all weights), an arena buffer, or one for what is computed at load. */
export type GpuBuffer =
  | { readonly kind: "weights"; readonly bytes: number; readonly offset: number }
  | { readonly kind: "arena" | "prepared"; readonly bytes: number };

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
}

/** A range of a GPU buffer. */
export interface BufferRange extends ByteRange {
  readonly buffer: number;
}

/** A dispatch. */
export interface GpuLaunch {
  readonly kernel: number;
  readonly workgroups: readonly [number, number, number];
  readonly bindings: readonly BufferRange[];
  /** The ONNX nodes that the kernel computes. */
  readonly label: readonly string[];
}

/** The type that each element of an input or output has on the GPU; `i64` is two words of 32 bits, the low one first. */
export type Storage = "f32" | "i32" | "u32" | "i64";

/** Where an input or output lies on the GPU. */
export interface GpuTensor extends BufferRange {
  readonly storage: Storage;
}

/** The section `backends.webgpu`. */
export interface WebGpuSection {
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly weights: { readonly bytes: number; readonly shards: readonly FileRef[] };
  readonly buffers: readonly GpuBuffer[];
  readonly shaders: readonly FileRef[];
  readonly kernels: readonly GpuKernel[];
  readonly launches: readonly GpuLaunch[];
  /** How many of the launches, the first ones, are dispatched once at load; none where it is left out. */
  readonly prepare?: number;
  readonly inputs: readonly GpuTensor[];
  /** Of a model that draws random numbers: where the two words of a run's seed are written. */
  readonly seed?: GpuTensor;
  readonly outputs: readonly GpuTensor[];
  readonly arenaLowerBound?: number;
}

/** The names of the back ends. */
export type BackendName = "webgpu" | "wasm";

/** `model.json`. */
export interface Manifest {
  readonly format: "webdnn-package";
  readonly version: 3;
  readonly generator: string;
  readonly name: string;
  /** What the model says of itself in free text. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  readonly backends: { readonly wasm?: WasmSection; readonly webgpu?: WebGpuSection };
}
