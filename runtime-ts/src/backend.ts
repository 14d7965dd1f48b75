import type { Downloader } from "./download.js";
import type { TypedArray } from "./dtypes.js";
import type { BoundInputs } from "./inputs.js";
import type { BackendName, Manifest } from "./manifest.js";
import type { StatesOnDevice } from "./state.js";

/** Arrays by the name of the input or output. */
export type Tensors = Record<string, TypedArray>;

/** What a run gives by the name of the output: arrays that say the size of each dimension, too. */
export type Outputs = Record<string, TypedArray & { readonly dims: readonly number[] }>;

/** Outputs to be filled in. Without a prototype, so that all names are alike: `__proto__` is one too. */
export function noTensors(): Tensors {
  return Object.create(null) as Tensors;
}

/** The time of one launch. */
export interface LaunchProfile {
  /** The name of the kernel. */
  readonly kernel: string;
  /** The ONNX nodes that it computes. */
  readonly label: readonly string[];
  readonly milliseconds: number;
}

/** The times of all launches of a run, in order. */
export interface Profile {
  /**
   * How time was taken: by the GPU itself (`timestamp-query`), by the clock around a submission of its own for each launch
   * (`submit`, which adds the cost of submitting), or by the clock around each launch (`clock`).
   */
  readonly method: "timestamp-query" | "submit" | "clock";
  readonly launches: readonly LaunchProfile[];
  readonly outputs: Outputs;
}

/** A package that is ready to run. Its methods are never called while a run is under way. */
export interface Backend {
  readonly name: BackendName;
  /** Settles when all files are there and have been checked. */
  readonly arrived: Promise<void>;
  /** How many threads of the CPU share the work of a kernel. */
  readonly threads: number;
  /** What it keeps between runs. */
  readonly states: StatesOnDevice;
  /** Run on inputs that have been checked, which set the sizes. The state on the device is that of the run, or nobody's. */
  run(inputs: BoundInputs): Promise<Tensors>;
  /** Run launch by launch. */
  profile(inputs: BoundInputs): Promise<Omit<Profile, "outputs"> & { readonly outputs: Tensors }>;
  /** Free memory. A run under way fails. */
  dispose(): void;
}

/** What a back end is made from. */
export interface BackendContext {
  readonly manifest: Manifest;
  readonly downloader: Downloader;
  /** Cancels all downloads of this attempt. */
  readonly signal: AbortSignal;
  /** The threads that the caller asked for. */
  readonly threads: number | undefined;
  /** Where WebGPU is found. */
  readonly gpu: GPU | undefined;
  /** Told the number of bytes of all files that will be read, then of each piece. */
  readonly expect: (total: number) => void;
  readonly onBytes: (count: number) => void;
}

/** How many files are read at once; each lies in memory as a whole until it has been handed to the GPU. */
export const PARALLEL_DOWNLOADS = 3;
