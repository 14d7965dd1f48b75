import { type Model, type TypedArray, UnsupportedError } from "../index.js";
import { type BackendName, oldName } from "./backends.js";
import { isOfBits, toElements, toFloats } from "./elements.js";
import { SymbolicFloat32Array } from "./symbolic_float32_array.js";

/** A loaded model whose inputs and outputs are views that last from run to run. Made by `load`. */
export class DescriptorRunner {
  readonly backendName: BackendName;
  readonly inputs: SymbolicFloat32Array[];
  readonly outputs: SymbolicFloat32Array[];
  readonly transformUrlDelegate: (base: string) => string;
  /** The same model, with all that is new: names, types, `failures`, `profile`, `dispose`. */
  readonly model: Model;

  /**
   * @internal
   * @throws UnsupportedError if a view cannot hold the numbers of an input or output
   */
  constructor(model: Model, transformUrlDelegate: (base: string) => string) {
    const odd = [...model.inputs, ...model.outputs].find(isOfBits);
    if (odd) {
      model.dispose();
      const problem = `"${odd.name}" is ${odd.dtype}, of which this engine reads the bits alone`;
      throw new UnsupportedError(`${problem}: use "webdnn"`);
    }
    this.model = model;
    this.backendName = oldName(model.backend);
    this.inputs = model.inputs.map(viewOf);
    this.outputs = model.outputs.map(viewOf);
    this.transformUrlDelegate = transformUrlDelegate;
  }

  /** A view of each input, in the model's order. What is set stays until it is set again. */
  getInputViews(): SymbolicFloat32Array[] {
    return this.inputs;
  }

  /** A view of each output, in the model's order: what the last run gave. */
  getOutputViews(): SymbolicFloat32Array[] {
    return this.outputs;
  }

  /**
   * Run the model on what is in the input views now (they may be set again at once), and write the output views.
   *
   * @throws InputError if a view holds numbers that its input does not take
   * @throws UnsupportedError if an output has integers that no 32-bit float holds
   * @throws DeviceLostError, ExecutionError, DisposedError
   */
  async run(): Promise<void> {
    const { model, inputs, outputs } = this;
    const given = model.inputs.map((tensor, i) => [
      tensor.name,
      toElements(tensor, inputs[i] as SymbolicFloat32Array),
    ]);
    const results = await model.run(Object.fromEntries(given));
    const values = model.outputs.map((tensor) =>
      toFloats(tensor, results[tensor.name] as TypedArray),
    );
    for (const [i, view] of outputs.entries()) view.set(values[i] as ArrayLike<number>);
  }

  /**
   * Bind sizes that a model leaves open until it runs. Packages have none yet.
   *
   * @throws UnsupportedError
   */
  async setPlaceholderValue(values: { [key: string]: number }): Promise<void> {
    for (const name in values) {
      const problem = `there is no placeholder "${name}"`;
      throw new UnsupportedError(`${problem}: sizes are fixed by \`webdnn compile --shape\``);
    }
  }
}

function viewOf({ shape }: { readonly shape: readonly number[] }): SymbolicFloat32Array {
  return new SymbolicFloat32Array(shape.reduce((count, size) => count * size, 1));
}
