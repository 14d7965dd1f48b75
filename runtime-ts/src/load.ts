import type { Backend, BackendContext } from "./backend.js";
import { Cancellation } from "./cancel.js";
import { Downloader, type Progress } from "./download.js";
import {
  type BackendFailure,
  CompileError,
  DeviceLostError,
  ExecutionError,
  NoBackendError,
  OutOfMemoryError,
  UnsupportedError,
  WebDNNError,
} from "./errors.js";
import { manifestUrl } from "./location.js";
import type { BackendName } from "./manifest.js";
import { Model } from "./model.js";
import { parseManifest } from "./parse.js";
import type { Fetch } from "./request.js";
import { createWasmBackend } from "./wasm/backend.js";
import { createWebGpuBackend } from "./webgpu/backend.js";

/** What `load` can be told. */
export interface LoadOptions {
  /** The back ends to try, in this order. Default: WebGPU, then wasm. */
  readonly backends?: readonly BackendName[];
  /** Told whenever bytes have arrived. A back end that is passed over starts the count again. */
  readonly onProgress?: (progress: Progress) => void;
  /** Stops loading. */
  readonly signal?: AbortSignal;
  /** Reads all files, in place of the global `fetch` (or of `node:fs`). */
  readonly fetch?: Fetch;
  /** Whether to compare the checksum of each file with the manifest's. Default: yes. */
  readonly verify?: boolean;
  /**
   * Whether to wait for all weights. Default: yes. If not, a model for wasm is there as soon as its code is, and its first run
   * begins with the weights that have arrived: the first outputs come sooner. They still come only when all weights have been
   * checked; if some do not arrive or are wrong, the run and `arrived` say so, not `load`.
   */
  readonly complete?: boolean;
  /**
   * How many threads run a model on wasm. Default: as many as the machine has cores, but at most 4. Without shared memory (in
   * a page that is not cross-origin isolated) there is one, and the console says why.
   */
  readonly threads?: number;
  /** Where WebGPU is found. Default: `navigator.gpu`. */
  readonly gpu?: GPU;
}

const CREATE: Readonly<Record<BackendName, (context: BackendContext) => Promise<Backend>>> = {
  webgpu: createWebGpuBackend,
  wasm: createWasmBackend,
};

/** The errors that say "not on this machine": another back end may do. A file that cannot be read or is not the right one
 * is no reason to go on with others. */
const PASSABLE = [
  UnsupportedError,
  CompileError,
  OutOfMemoryError,
  DeviceLostError,
  ExecutionError,
];

/**
 * Load a package.
 *
 * @param url the folder of the package, or its `model.json`; in Node a path will do
 * @throws NoBackendError if no back end can run it (with the reason of each)
 * @throws ManifestError, DownloadError, ChecksumError, AbortedError
 */
export async function load(url: string | URL, options: LoadOptions = {}): Promise<Model> {
  const { backends = ["webgpu", "wasm"], fetch, verify = true, threads } = options;
  if (threads !== undefined && !(Number.isInteger(threads) && threads > 0)) {
    throw new UnsupportedError(`there cannot be ${threads} threads`);
  }
  for (const name of backends) {
    if (!Object.hasOwn(CREATE, name)) throw new UnsupportedError(`there is no back end "${name}"`);
  }
  const downloader = new Downloader(manifestUrl(url), fetch, verify);
  const loading = loadWith(downloader, backends, options);
  const close = (): void => downloader.close();
  loading.then(({ backend }) => backend.arrived).then(close, close);
  return (await loading).model;
}

/** Take the first of the back ends that can run the package; its weights may still be on their way. */
async function loadWith(
  downloader: Downloader,
  backends: readonly BackendName[],
  options: LoadOptions,
): Promise<{ model: Model; backend: Backend }> {
  const { signal, threads, complete = true } = options;
  const opening = new Cancellation(signal);
  const manifest = parseManifest(await opening.run(() => downloader.json(opening.signal)));
  const failures: BackendFailure[] = [];
  for (const name of backends) {
    const attempt = new Cancellation(signal);
    let [loaded, total] = [0, 0];
    const report = (): void => options.onProgress?.({ backend: name, loaded, total });
    const context: BackendContext = {
      manifest,
      downloader,
      signal: attempt.signal,
      threads,
      gpu: options.gpu ?? globalThis.navigator?.gpu,
      expect: (bytes) => {
        [loaded, total] = [0, bytes];
        report();
      },
      onBytes: (bytes) => {
        loaded += bytes;
        report();
      },
    };
    try {
      const backend = await attempt.run(
        () => CREATE[name](context),
        (made) => made.dispose(),
      );
      attempt.follow(backend.arrived);
      if (complete) {
        await attempt
          .run(() => backend.arrived)
          .catch((error: unknown) => {
            backend.dispose();
            throw error;
          });
      }
      return { model: new Model(manifest, backend, failures), backend };
    } catch (error) {
      if (!(error instanceof WebDNNError) || !PASSABLE.some((c) => error instanceof c)) throw error;
      failures.push({ backend: name, code: error.code, reason: error.message, error });
    }
  }
  throw new NoBackendError(failures);
}
