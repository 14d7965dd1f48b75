import { messageOf, UnsupportedError } from "../errors.js";
import type { WebGpuSection } from "../manifest.js";

/** Open a device that has all that a package needs. Throws an `UnsupportedError` that says what is missing. */
export async function openDevice(
  gpu: GPU | undefined,
  section: Pick<WebGpuSection, "features" | "limits" | "largestLimits">,
): Promise<GPUDevice> {
  if (!gpu) {
    const insecure = globalThis.isSecureContext === false;
    const hint = insecure ? ", because this page is not a secure context (https or localhost)" : "";
    throw new UnsupportedError(`WebGPU does not exist here${hint}`);
  }
  let adapter: GPUAdapter | null;
  try {
    adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  } catch (error) {
    throw new UnsupportedError(`no WebGPU adapter: ${messageOf(error)}`, { cause: error });
  }
  if (!adapter) throw new UnsupportedError("the browser has WebGPU, but offers no adapter (GPU)");
  const lacks = missing(adapter, section);
  if (lacks.length > 0) throw new UnsupportedError(`the GPU is too small: ${lacks.join("; ")}`);
  const features = [...section.features] as GPUFeatureName[];
  if (!features.includes("timestamp-query") && adapter.features.has("timestamp-query")) {
    features.push("timestamp-query");
  }
  try {
    return await adapter.requestDevice({
      requiredFeatures: features,
      requiredLimits: limitsOf(adapter, section),
    });
  } catch (error) {
    const problem = `the WebGPU adapter gives no device: ${messageOf(error)}`;
    throw new UnsupportedError(problem, { cause: error });
  }
}

type Limits = Pick<WebGpuSection, "limits" | "largestLimits">;

/** What a device is asked for: what is needed, and for the largest sizes as much as there is. */
function limitsOf(adapter: GPUAdapter, { limits, largestLimits }: Limits): Record<string, number> {
  const offered = adapter.limits as unknown as Record<string, number>;
  const wanted = Object.entries(largestLimits ?? {}).filter(([name]) => name in offered);
  return {
    ...limits,
    ...Object.fromEntries(wanted.map(([name, n]) => [name, Math.min(n, offered[name] as number)])),
  };
}

function missing(
  adapter: GPUAdapter,
  section: Pick<WebGpuSection, "features" | "limits">,
): string[] {
  const lacks = section.features
    .filter((name) => !adapter.features.has(name))
    .map((name) => `feature "${name}" is missing`);
  for (const [name, needed] of Object.entries(section.limits)) {
    const offered = (adapter.limits as unknown as Record<string, unknown>)[name];
    if (typeof offered !== "number") lacks.push(`limit ${name} is not known`);
    // Alignments are the limits that are better when they are lower.
    else if (name.endsWith("Alignment") ? offered > needed : offered < needed) {
      lacks.push(`${name} is ${offered}, ${needed} is needed`);
    }
  }
  return lacks;
}
