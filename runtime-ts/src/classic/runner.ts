import {
  type Model,
  type Tensor,
  type TensorInfo,
  type TypedArray,
  UnsupportedError,
} from "../index.js";
import { type BackendName, oldName } from "./backends.js";
import { isOfBits, toElements, toFloats } from "./elements.js";
import { SymbolicFloat32Array } from "./symbolic_float32_array.js";

/** A loaded model whose inputs and outputs are views that last from run to run. Made by `load`. */
export class DescriptorRunner {
  readonly backendName: BackendName;
  /** Those of a model with placeholders are others once these have other values. */
  inputs!: SymbolicFloat32Array[];
  outputs!: SymbolicFloat32Array[];
  readonly transformUrlDelegate: (base: string) => string;
  /** The same model, with all that is new: names, types, `failures`, `profile`, `dispose`. */
  readonly model: Model;
  #placeholders: { readonly [name: string]: number } = {};

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
    this.#place({});
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
    const given: Record<string, Tensor> = {};
    for (const [i, dims] of model.shapesAt("inputs", this.#placeholders).entries()) {
      const tensor = model.inputs[i] as TensorInfo;
      const data = toElements(tensor, inputs[i] as SymbolicFloat32Array);
      given[tensor.name] = { data, dims };
    }
    const results = await model.run(given);
    const values = model.outputs.map((tensor) =>
      toFloats(tensor, results[tensor.name] as TypedArray),
    );
    for (const [i, view] of outputs.entries()) view.set(values[i] as ArrayLike<number>);
  }

  /**
   * Set sizes that a model leaves open until it runs. Before they are set they have their likely values. Views got before
   * are of no use any more.
   *
   * @throws UnsupportedError if there is no such placeholder, or it is never that
   */
  async setPlaceholderValue(values: { [key: string]: number }): Promise<void> {
    this.#place({ ...this.#placeholders, ...values });
  }

  #place(values: { readonly [name: string]: number }): void {
    const viewsOf = (role: "inputs" | "outputs"): SymbolicFloat32Array[] =>
      this.model
        .shapesAt(role, values)
        .map((dims) => new SymbolicFloat32Array(dims.reduce((a, b) => a * b, 1)));
    this.inputs = viewsOf("inputs");
    this.outputs = viewsOf("outputs");
    this.#placeholders = values;
  }
}
