import type { BackendContext } from "../backend.js";
import { CompileError, messageOf } from "../errors.js";
import type { BindingAccess, Expression, FileRef, GpuKernel, WebGpuSection } from "../manifest.js";
import { VISIBLE_TO_COMPUTE } from "./flags.js";

const NEWLINE = 10;

/** A pipeline and the layout of its bind group. */
export interface Kernel {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** A WGSL module and where it is in the package. */
interface Shader {
  readonly module: GPUShaderModule;
  readonly file: string;
  /** What comes before the module in the file, to count its lines if there is a message to show. */
  readonly before: Uint8Array;
}

/** Compile all kernels at once, each as soon as its shader has arrived. */
export async function createKernels(
  device: GPUDevice,
  section: WebGpuSection<Expression>,
  { downloader, signal, onBytes }: BackendContext,
): Promise<Kernel[]> {
  const files = section.shaders.map((file) => downloader.bytes(file, signal, onBytes));
  const shaders = new Map<string, Promise<Shader>>();
  const shaderOf = (kernel: GpuKernel): Promise<Shader> =>
    remember(
      shaders,
      `${kernel.shader}:${kernel.range?.offset}:${kernel.range?.bytes}`,
      async () => {
        const bytes = await (files[kernel.shader] as Promise<Uint8Array>);
        return createShader(device, kernel, section.shaders[kernel.shader] as FileRef, bytes);
      },
    );
  const layouts = new Map<string, GPUBindGroupLayout>();
  const layoutOf = ({ bindings, sizes }: GpuKernel): GPUBindGroupLayout => {
    const types = bindings.map((access) => STORAGE[access]);
    if (sizes) types.push("uniform");
    return remember(layouts, types.join(), () => createLayout(device, types));
  };
  const kernels = section.kernels.map(async (kernel): Promise<Kernel> => {
    const shader = await shaderOf(kernel);
    const layout = layoutOf(kernel);
    return { layout, pipeline: await createPipeline(device, kernel, shader, layout) };
  });
  // The files too, so that the failure of one without kernels is not lost.
  const [made] = await Promise.all([Promise.all(kernels), ...files]);
  return made;
}

/** The value of a key, made where there is none. */
function remember<T>(values: Map<string, T>, key: string, make: () => T): T {
  const known = values.get(key);
  if (known !== undefined) return known;
  const made = make();
  values.set(key, made);
  return made;
}

function createShader(
  device: GPUDevice,
  { name, range }: GpuKernel,
  { file }: FileRef,
  bytes: Uint8Array,
): Shader {
  const begin = range?.offset ?? 0;
  const end = range ? begin + range.bytes : bytes.length;
  const code = new TextDecoder().decode(bytes.subarray(begin, end));
  const module = device.createShaderModule({ label: range ? name : file, code });
  return { module, file, before: bytes.subarray(0, begin) };
}

const STORAGE: Readonly<Record<BindingAccess, GPUBufferBindingType>> = {
  read: "read-only-storage",
  read_write: "storage",
};

function createLayout(
  device: GPUDevice,
  types: readonly GPUBufferBindingType[],
): GPUBindGroupLayout {
  const entries = types.map(
    (type, binding): GPUBindGroupLayoutEntry => ({
      binding,
      visibility: VISIBLE_TO_COMPUTE,
      buffer: { type },
    }),
  );
  return device.createBindGroupLayout({ entries });
}

async function createPipeline(
  device: GPUDevice,
  kernel: GpuKernel,
  { module, file, before }: Shader,
  layout: GPUBindGroupLayout,
): Promise<GPUComputePipeline> {
  try {
    return await device.createComputePipelineAsync({
      label: kernel.name,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: kernel.entryPoint },
    });
  } catch (error) {
    const { messages } = await module.getCompilationInfo();
    const linesBefore = before.filter((byte) => byte === NEWLINE).length;
    const errors = messages
      .filter((m) => m.type === "error")
      .map((m) => `${file}:${linesBefore + m.lineNum}:${m.linePos}: ${m.message}`);
    const what = `kernel ${kernel.name}`;
    throw new CompileError(what, errors.length > 0 ? errors : [messageOf(error)], { cause: error });
  }
}
