/**
 * A simulated WebGPU that runs the kernels of the fixture in JavaScript. It is for what a real device cannot be made to do:
 * get lost, run out of memory, lack features. tests/e2e runs the same fixture on a real one.
 */

export interface FakeOptions {
  features?: string[];
  limits?: Record<string, number>;
  /** What `requestAdapter` does. */
  adapter?: "none" | "throws";
  /** What `requestDevice` does. */
  device?: "refuses";
  /** What pipelines are rejected with, and what the compiler says. */
  compile?: {
    error: string;
    messages: { type: string; lineNum: number; linePos: number; message: string }[];
  };
  /** What the error scopes hold: "validation" or "out-of-memory"; once there are more than `after` buffers. */
  scopeError?: { filter: string; message: string; after?: number };
  /** Called before each submission. */
  onSubmit?: (device: FakeDevice) => void;
}

class FakeBuffer {
  readonly data: ArrayBuffer;
  mapped = false;
  constructor(
    readonly device: FakeDevice,
    readonly descriptor: GPUBufferDescriptor,
  ) {
    this.data = new ArrayBuffer(descriptor.size);
  }
  get size(): number {
    return this.descriptor.size;
  }
  async mapAsync(): Promise<void> {
    if (this.device.isLost) throw new Error("the buffer's device is lost");
    this.mapped = true;
  }
  getMappedRange(): ArrayBuffer {
    if (!this.mapped) throw new Error("not mapped");
    return this.data;
  }
  unmap(): void {
    this.mapped = false;
  }
  isDestroyed = false;
  destroy(): void {
    this.isDestroyed = true;
  }
}

type Binding = { resource: { buffer: FakeBuffer; offset: number; size: number } };
type Command = () => void;

const words = ({ resource: r }: Binding): Float32Array =>
  new Float32Array(r.buffer.data, r.offset, r.size / 4);

const ints = ({ resource: r }: Binding): Int32Array =>
  new Int32Array(r.buffer.data, r.offset, r.size / 4);

const KERNELS: Record<string, (bindings: Binding[]) => void> = {
  scale: (b) => {
    const [x, s, bias, out] = b.map(words) as [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    for (let i = 0; i < x.length; i++)
      out[i] = (x[i] as number) * (s[i] as number) + (bias[i] as number);
  },
  relu: (b) => {
    const [x, out] = b.map(words) as [Float32Array, Float32Array];
    for (let i = 0; i < x.length; i++) out[i] = Math.max(x[i] as number, 0);
  },
  double: (b) => {
    const [x, out] = b.map(words) as [Float32Array, Float32Array];
    const [count = 0] = ints(b[2] as Binding);
    for (let i = 0; i < count; i++) out[i] = (x[i] as number) * 2;
  },
  ones: (b) => {
    const [count = 0, more = 0] = ints(b[1] as Binding);
    words(b[0] as Binding).fill(1, 0, count + more);
  },
  copy: ([from, to]) => {
    const bytes = ({ resource: r }: Binding) => new Uint8Array(r.buffer.data, r.offset, r.size);
    bytes(to as Binding).set(bytes(from as Binding));
  },
};

export class FakeDevice {
  readonly features: Set<string>;
  readonly limits: Record<string, number>;
  isLost = false;
  lose!: (info: { message: string; reason?: string }) => void;
  readonly lost: Promise<unknown>;
  readonly buffers: FakeBuffer[] = [];
  readonly submissions: Command[][] = [];
  readonly scopes: string[] = [];
  readonly codes: string[] = [];
  destroyed = false;
  #stamp = 0n;

  constructor(
    readonly options: FakeOptions,
    readonly descriptor: GPUDeviceDescriptor,
  ) {
    this.features = new Set(descriptor.requiredFeatures);
    this.limits = {
      maxBufferSize: 2 ** 28,
      maxStorageBufferBindingSize: 2 ** 27,
      ...(descriptor.requiredLimits as Record<string, number>),
    };
    this.lost = new Promise((resolve) => {
      this.lose = (info) => {
        this.isLost = true;
        resolve({ reason: "unknown", ...info });
      };
    });
  }

  destroy(): void {
    this.destroyed = true;
    this.lose({ message: "destroyed", reason: "destroyed" });
  }
  pushErrorScope(filter: string): void {
    this.scopes.push(filter);
  }
  async popErrorScope(): Promise<unknown> {
    const filter = this.scopes.pop();
    const error = this.options.scopeError;
    return error && error.filter === filter && this.buffers.length > (error.after ?? 0)
      ? { message: error.message }
      : null;
  }
  createBuffer(descriptor: GPUBufferDescriptor): FakeBuffer {
    if (descriptor.size % 4 !== 0) throw new Error("odd size");
    const buffer = new FakeBuffer(this, descriptor);
    this.buffers.push(buffer);
    return buffer;
  }
  createShaderModule({ code }: { code: string }) {
    this.codes.push(code);
    const { compile } = this.options;
    return { code, getCompilationInfo: async () => ({ messages: compile?.messages ?? [] }) };
  }
  createBindGroupLayout(descriptor: unknown) {
    return descriptor;
  }
  createPipelineLayout(descriptor: unknown) {
    return descriptor;
  }
  async createComputePipelineAsync({ compute }: GPUComputePipelineDescriptor) {
    if (this.options.compile) throw new Error(this.options.compile.error);
    return { entryPoint: compute.entryPoint };
  }
  createBindGroup({ entries }: { entries: Binding[] }) {
    return entries;
  }
  createQuerySet({ count }: { count: number }) {
    return { stamps: new BigInt64Array(count), destroy: () => {} };
  }
  createCommandEncoder() {
    const commands: Command[] = [];
    const stamp = (w: { querySet: { stamps: BigInt64Array } } | undefined, index: number) =>
      commands.push(() => {
        this.#stamp += 1_500_000n;
        if (w) w.querySet.stamps[index] = this.#stamp;
      });
    return {
      // biome-ignore lint/suspicious/noExplicitAny: the parts of the descriptor that are used
      beginComputePass: ({ timestampWrites: t }: any = {}) => {
        let pipeline: { entryPoint: string };
        let bindings: Binding[];
        if (t) stamp(t, t.beginningOfPassWriteIndex);
        return {
          setPipeline: (p: typeof pipeline) => {
            pipeline = p;
          },
          setBindGroup: (_: number, b: Binding[]) => {
            bindings = b;
          },
          dispatchWorkgroups: () => {
            const [kernel, entries] = [
              KERNELS[pipeline.entryPoint.split("_")[0] as string],
              bindings,
            ];
            commands.push(() => kernel?.(entries));
          },
          end: () => {
            if (t) stamp(t, t.endOfPassWriteIndex);
          },
        };
      },
      copyBufferToBuffer: (a: FakeBuffer, i: number, b: FakeBuffer, j: number, size: number) =>
        commands.push(() => new Uint8Array(b.data, j, size).set(new Uint8Array(a.data, i, size))),
      resolveQuerySet: (q: { stamps: BigInt64Array }, _: number, count: number, to: FakeBuffer) =>
        commands.push(() => new BigInt64Array(to.data, 0, count).set(q.stamps)),
      finish: () => commands,
    };
  }
  readonly queue = {
    writeBuffer: (to: FakeBuffer, offset: number, from: ArrayBufferView) => {
      if (offset % 4 !== 0 || from.byteLength % 4 !== 0) throw new Error("odd write");
      const bytes = new Uint8Array(from.buffer, from.byteOffset, from.byteLength);
      new Uint8Array(to.data, offset).set(bytes);
    },
    submit: (lists: Command[][]) => {
      this.options.onSubmit?.(this);
      for (const commands of lists) {
        this.submissions.push(commands);
        for (const command of commands) command();
      }
    },
    onSubmittedWorkDone: async () => {},
  };
}

/** A `navigator.gpu` and the devices that it has given. */
export function fakeGpu(options: FakeOptions = {}): { gpu: GPU; devices: FakeDevice[] } {
  const devices: FakeDevice[] = [];
  const adapter = {
    features: new Set(options.features),
    limits: {
      maxStorageBuffersPerShaderStage: 8,
      minStorageBufferOffsetAlignment: 256,
      ...options.limits,
    },
    requestDevice: async (descriptor: GPUDeviceDescriptor) => {
      if (options.device === "refuses") throw new Error("too many devices");
      const device = new FakeDevice(options, descriptor);
      devices.push(device);
      return device;
    },
  };
  const gpu = {
    requestAdapter: async () => {
      if (options.adapter === "throws") throw new Error("blocked");
      return options.adapter === "none" ? null : adapter;
    },
  };
  return { gpu: gpu as unknown as GPU, devices };
}
