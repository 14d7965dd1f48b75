import {
  ChecksumError,
  DownloadError,
  type Fetch,
  load as loadModel,
  type Model,
} from "../index.js";
import { type BackendName, backendsFor } from "./backends.js";
import { type CacheStrategy, cachedFiles } from "./cached_files.js";
import { DescriptorRunner } from "./runner.js";

/** What `load` can be told. */
export interface InitOption {
  /** The back ends to try, in this order. */
  backendOrder?: BackendName | BackendName[];
  /** Has no effect, as before. */
  backendOptions?: { [key: string]: unknown };
  /** Told, whenever bytes have arrived, how many there are and how many there will be. */
  progressCallback?: (loaded: number, total: number) => unknown;
  /** Where the weights are, if not in the folder of the package. */
  weightDirectory?: string;
  /** Told the address of each file before it is read from the server; returns where it is. */
  transformUrlDelegate?: (url: string) => string;
  /**
   * Which files are taken. `latest` (the default): those that were kept, unless the server has others; `networkFirst`: those
   * that were kept, if the server cannot be reached; `cacheFirst`: the server's, if none were kept; `networkOnly`, `cacheOnly`.
   */
  cacheStrategy?: CacheStrategy;
  /** Whether files are kept for the next time. Default: yes. */
  saveCache?: boolean;
}

/**
 * Load a package.
 *
 * @param directory the folder that `webdnn compile -o` wrote
 * @throws NoBackendError if no back end can run it
 * @throws ManifestError, DownloadError, ChecksumError, UnsupportedError
 */
export async function load(
  directory: string,
  initOption: InitOption = {},
): Promise<DescriptorRunner> {
  const { backendOrder, progressCallback, weightDirectory } = initOption;
  const { cacheStrategy = "latest", saveCache = true } = initOption;
  const { transformUrlDelegate = (url) => url } = initOption;
  // Addresses as the program wrote them: so its delegate sees them.
  const folder = directory.replace(/[^/]*\.json$/, "") || ".";
  const addressOf = (file: string): string => {
    const base = (/\.bin/.test(file) && weightDirectory) || folder;
    return transformUrlDelegate(base.replace(/\/*$/, () => `/${file}`));
  };
  const open = async (fetch?: Fetch): Promise<Model> =>
    loadModel(directory, {
      ...(backendOrder && { backends: backendsFor(backendOrder) }),
      ...(progressCallback && {
        onProgress: ({ loaded, total }) => void progressCallback(loaded, total),
      }),
      ...(fetch && { fetch }),
    });

  let files = cachedFiles(cacheStrategy, saveCache, addressOf);
  const isCached = globalThis.caches
    ? saveCache || cacheStrategy !== "networkOnly"
    : cacheStrategy === "cacheOnly";
  const isMoved = weightDirectory || initOption.transformUrlDelegate;
  // The runtime reads faster by itself.
  const reading = open(isCached || isMoved ? files.fetch : undefined);
  const model = await reading.catch((error) => {
    if (error instanceof ChecksumError && files.isUsed() && cacheStrategy !== "cacheOnly") {
      // What was kept is damaged, or only a part of it.
      files = cachedFiles("networkOnly", saveCache, addressOf);
      return open(files.fetch);
    }
    if (error.status === 404 && error.url.endsWith("model.json")) {
      const problem = "is not there: compile again what the first WebDNN converted";
      throw new DownloadError(error.url, problem, { cause: error, status: 404 });
    }
    throw error;
  });
  await files.keep();
  for (const { backend, reason } of model.failures) {
    console.warn(`WebDNN: not on ${backend}: ${reason}`);
  }
  return new DescriptorRunner(model, transformUrlDelegate);
}
