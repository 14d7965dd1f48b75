import type { BackendName as NewBackendName } from "../index.js";

/** The back ends of the first WebDNN. */
export type BackendName = "webgpu" | "webgl" | "webassembly" | "fallback";

/** Which back ends there are. */
export interface BackendAvailability {
  readonly status: { readonly [name in BackendName]: boolean };
  /** The order in which they are tried, unless `backendOrder` says otherwise. */
  readonly defaultOrder: BackendName[];
}

/** The back ends that do the work of old ones now, each once. Other names are left for `load` to judge. */
export function backendsFor(order: string | readonly string[]): NewBackendName[] {
  return [...new Set([order].flat().flatMap(successors))];
}

/**
 * WebGL ran on machines that have no WebGPU too, and plain JavaScript ran everywhere: so does what stands for them. WebMetal
 * was to become the name of `webgpu`.
 */
function successors(name: string): NewBackendName | NewBackendName[] {
  if (name === "webgl") return ["webgpu", "wasm"];
  if (name === "webmetal") return "webgpu";
  return name === "webassembly" || name === "fallback" ? "wasm" : (name as NewBackendName);
}

/** What the first WebDNN called a back end. */
export function oldName(backend: NewBackendName): BackendName {
  return backend === "wasm" ? "webassembly" : backend;
}

/** Tell which back ends there are in this browser. (Whether it offers a GPU is known only once a model is loaded.) */
export function getBackendAvailability(): BackendAvailability {
  const status = {
    webgpu: globalThis.navigator?.gpu !== undefined,
    webgl: false,
    webassembly: typeof WebAssembly === "object",
    fallback: false,
  };
  const order: BackendName[] = ["webgpu", "webassembly"];
  return { status, defaultOrder: order.filter((name) => status[name]) };
}
