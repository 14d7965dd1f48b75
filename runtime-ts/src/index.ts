export type { LaunchProfile, Outputs, Profile, Tensors } from "./backend.js";
export type { Progress } from "./download.js";
export { arrayClass, type TypedArray } from "./dtypes.js";
export {
  AbortedError,
  type BackendFailure,
  ChecksumError,
  CompileError,
  DeviceLostError,
  DisposedError,
  DownloadError,
  type ErrorCode,
  ExecutionError,
  InputError,
  ManifestError,
  NoBackendError,
  OutOfMemoryError,
  UnsupportedError,
  WebDNNError,
} from "./errors.js";
export type { Inputs, Tensor } from "./inputs.js";
export { type LoadOptions, load } from "./load.js";
export type * from "./manifest.js";
export type { Model, RunOptions } from "./model.js";
export { parseManifest } from "./parse.js";
export type { Fetch } from "./request.js";
export type { ModelState } from "./state.js";
