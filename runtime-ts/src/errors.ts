/** What every error of this runtime carries in `code`. */
export type ErrorCode =
  | "manifest-invalid"
  | "unsupported-feature"
  | "no-backend"
  | "download-failed"
  | "checksum-mismatch"
  | "compile-failed"
  | "out-of-memory"
  | "missing-input"
  | "unknown-input"
  | "wrong-dtype"
  | "wrong-length"
  | "wrong-shape"
  | "out-of-range"
  | "device-lost"
  | "execution-failed"
  | "disposed"
  | "aborted";

/** The base class of all errors thrown by this runtime. */
export class WebDNNError extends Error {
  // Spelled out in each class, because minification changes the names of classes.
  override readonly name: string = "WebDNNError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** `model.json` is not a manifest that this runtime understands; `path` names the offending field. */
export class ManifestError extends WebDNNError {
  override readonly name = "ManifestError";
  readonly path: string;

  constructor(path: string, problem: string) {
    super("manifest-invalid", `model.json: ${path ? `${path} ` : ""}${problem}`);
    this.path = path;
  }
}

/** The engine, the browser or the device lacks something that the package needs. */
export class UnsupportedError extends WebDNNError {
  override readonly name = "UnsupportedError";
  constructor(message: string, options?: { cause?: unknown }) {
    super("unsupported-feature", message, options);
  }
}

/** Why a back end was passed over. */
export interface BackendFailure {
  readonly backend: string;
  readonly code: ErrorCode;
  readonly reason: string;
  readonly error: WebDNNError;
}

/** None of the back ends asked for can run the package; `failures` says why, one by one. */
export class NoBackendError extends WebDNNError {
  override readonly name = "NoBackendError";
  readonly failures: readonly BackendFailure[];

  constructor(failures: readonly BackendFailure[]) {
    const reasons = failures.map((f) => `${f.backend}: ${f.reason}`).join("; ");
    super("no-backend", `no back end can run this package (${reasons || "none was asked for"})`);
    this.failures = failures;
  }
}

/** A file of the package could not be read. */
export class DownloadError extends WebDNNError {
  override readonly name = "DownloadError";
  readonly url: string;
  /** The HTTP status, where there was a response. */
  readonly status: number | undefined;

  constructor(url: string, problem: string, options?: { cause?: unknown; status?: number }) {
    super("download-failed", `${url}: ${problem}`, options);
    this.url = url;
    this.status = options?.status;
  }
}

/** A file is not the one that the manifest names. */
export class ChecksumError extends WebDNNError {
  override readonly name = "ChecksumError";
  readonly url: string;

  constructor(url: string, problem: string) {
    super("checksum-mismatch", `${url}: ${problem}`);
    this.url = url;
  }
}

/** A shader or a wasm module was refused; `messages` are the compiler's own. */
export class CompileError extends WebDNNError {
  override readonly name = "CompileError";
  readonly messages: readonly string[];

  constructor(what: string, messages: readonly string[], options?: { cause?: unknown }) {
    super("compile-failed", `${what}: ${messages.join("\n")}`, options);
    this.messages = messages;
  }
}

/** The arguments of `run` or `profile` do not fit the model's inputs; `input` is the name of the one at fault. */
export class InputError extends WebDNNError {
  override readonly name = "InputError";
  readonly input: string;

  constructor(
    code:
      | "missing-input"
      | "unknown-input"
      | "wrong-dtype"
      | "wrong-length"
      | "wrong-shape"
      | "out-of-range",
    input: string,
    message: string,
  ) {
    super(code, message);
    this.input = input;
  }
}

/** The GPU device went away (driver reset, sleep, too long a run); load the model again. */
export class DeviceLostError extends WebDNNError {
  override readonly name = "DeviceLostError";
  constructor(message: string) {
    super("device-lost", `the GPU device was lost: ${message}`);
  }
}

/** A run failed inside the back end: a wasm trap or a WebGPU validation error. */
export class ExecutionError extends WebDNNError {
  override readonly name = "ExecutionError";
  constructor(message: string, options?: { cause?: unknown }) {
    super("execution-failed", message, options);
  }
}

/** The memory that the package needs cannot be had. */
export class OutOfMemoryError extends WebDNNError {
  override readonly name = "OutOfMemoryError";
  constructor(message: string, options?: { cause?: unknown }) {
    super("out-of-memory", message, options);
  }
}

/** The model was disposed of. */
export class DisposedError extends WebDNNError {
  override readonly name = "DisposedError";
  constructor() {
    super("disposed", "the model has been disposed of");
  }
}

/** The caller's `AbortSignal` fired; `cause` is the signal's reason. */
export class AbortedError extends WebDNNError {
  override readonly name = "AbortedError";
  constructor(cause?: unknown) {
    super("aborted", "loading was aborted", { cause });
  }
}

/** The message of anything that may be thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
