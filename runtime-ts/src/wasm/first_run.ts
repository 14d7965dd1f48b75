import type { WasmLaunch, WasmSection } from "../manifest.js";
import type { Arrivals } from "./arrivals.js";

/** Milliseconds of work after which what arrives gets its turn. */
const SLICE = 2;

/** The launches at load, and a first run that begins before all weights are there. */
export class FirstRun {
  readonly #section: WasmSection;
  readonly #arrivals: Arrivals;
  readonly #runRange: (begin: number, end: number) => void;
  /** How many launches at load have run. */
  #prepared = 0;
  #isRunning = false;
  /** When what arrives had its last turn. */
  #paused = 0;

  /** @param runRange runs some of the launches; throws where the model has been disposed of */
  constructor(
    section: WasmSection,
    arrivals: Arrivals,
    runRange: (begin: number, end: number) => void,
  ) {
    this.#section = section;
    this.#arrivals = arrivals;
    this.#runRange = runRange;
    const prepareIfIdle = (): void => {
      if (!this.#isRunning) this.#prepareRest();
    };
    // What goes wrong goes wrong in the first run again, which says so.
    arrivals.complete.then(prepareIfIdle).catch(() => undefined);
  }

  /** Whether all weights are there and all launches at load have run. */
  get isOver(): boolean {
    return this.#arrivals.isComplete && this.#prepared === this.#atLoad;
  }

  /** Wait for all weights, and run what is to run at load. */
  async prepare(): Promise<void> {
    await this.#arrivals.complete;
    this.#prepareRest();
  }

  /** Run each launch as soon as its weights are there; return when all weights have been checked. */
  async run(): Promise<void> {
    this.#isRunning = true;
    try {
      const { launches } = this.#section;
      let next = this.#atLoad;
      while (next < launches.length && !this.#arrivals.isComplete) {
        const waits = this.#prepared < this.#atLoad ? launches[this.#prepared] : undefined;
        if (waits && (waits.before ?? 0) <= next - this.#atLoad) {
          await this.#launch(this.#prepared, waits);
          this.#prepared++;
        } else {
          await this.#launch(next, launches[next] as WasmLaunch);
          next++;
        }
      }
      await this.prepare();
      this.#runRange(next, launches.length);
    } finally {
      this.#isRunning = false;
    }
  }

  get #atLoad(): number {
    return this.#section.prepare ?? 0;
  }

  #prepareRest(): void {
    const end = this.#atLoad;
    if (this.#prepared < end) this.#runRange(this.#prepared, end);
    this.#prepared = end;
  }

  async #launch(number: number, { weights }: WasmLaunch): Promise<void> {
    await this.#arrivals.has(weights ?? this.#section.weights.bytes);
    this.#runRange(number, number + 1);
    if (performance.now() - this.#paused < SLICE) return;
    await turn();
    this.#paused = performance.now();
  }
}

/** Let other tasks have their turn; a timer would wait for longer. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
