import {
  DeviceLostError,
  ExecutionError,
  messageOf,
  OutOfMemoryError,
  WebDNNError,
} from "../errors.js";

/** How long to wait, after a failure, for the word that the device is lost: both come of one cause, in either order. */
const LOSS_MILLISECONDS = 50;

/** A device whose errors become this runtime's errors. */
export class GuardedDevice {
  readonly device: GPUDevice;
  #lost: string | undefined;

  constructor(device: GPUDevice) {
    this.device = device;
    void device.lost.then((info) => {
      this.#lost = info.message || info.reason || "no reason is known";
    });
  }

  /**
   * Do work; what the device says against it is thrown.
   *
   * @param what names the work in messages
   * @param atOnce whether all that can be invalid is called before the first `await` of the work. The device is then
   *   asked for its verdict while the GPU runs, so that it costs no time.
   * @throws DeviceLostError, OutOfMemoryError, ExecutionError, and what `work` throws of this runtime's errors
   */
  async scoped<T>(what: string, work: () => Promise<T>, { atOnce = false } = {}): Promise<T> {
    const { device } = this;
    this.#check();
    // Scopes are a stack and take all calls until they are popped.
    device.pushErrorScope("out-of-memory");
    device.pushErrorScope("validation");
    const pop = (): Promise<(GPUError | null)[]> =>
      Promise.all([device.popErrorScope(), device.popErrorScope()]).catch(() => []);
    // An async function, so that what `work` throws at once becomes a rejection as well.
    const working = (async () => work())();
    const early = atOnce ? pop() : undefined;
    const [outcome] = await Promise.allSettled([working]);
    const [validation, memory] = await (early ?? pop());
    if (outcome.status === "rejected") await this.#awaitLoss();
    this.#check();
    if (memory) throw new OutOfMemoryError(`${what}: GPU memory ran out: ${memory.message}`);
    if (outcome.status === "rejected" && outcome.reason instanceof WebDNNError)
      throw outcome.reason;
    if (validation) throw new ExecutionError(`${what}: ${validation.message}`);
    if (outcome.status === "fulfilled") return outcome.value;
    const problem = `${what}: ${messageOf(outcome.reason)}`;
    throw new ExecutionError(problem, { cause: outcome.reason });
  }

  #check(): void {
    if (this.#lost !== undefined) throw new DeviceLostError(this.#lost);
  }

  async #awaitLoss(): Promise<void> {
    const patience = new Promise((resolve) => setTimeout(resolve, LOSS_MILLISECONDS));
    await Promise.race([this.device.lost, patience]);
  }
}
