/** What the first WebDNN exported (npm's `webdnn` 1.x): its programs run unchanged. */
export { type BackendAvailability, type BackendName, getBackendAvailability } from "./backends.js";
export { getConfiguration, setConfiguration } from "./configuration.js";
export * as Image from "./image/index.js";
export { type InitOption, load } from "./load.js";
export * as Math from "./math.js";
export type { DescriptorRunner } from "./runner.js";
export type { SymbolicFloat32Array } from "./symbolic_float32_array.js";
