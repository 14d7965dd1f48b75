import type { Expression, WasmSection } from "../manifest.js";
import type { Arrivals } from "./arrivals.js";
import type { Executor } from "./executor.js";

/** Milliseconds for which the caller's thread is held up before what arrives gets its turn. */
const SLICE = 2;

/** Launches that stand for one of a run and for those at load that it needs, up to before `end`. */
interface StandIn {
  readonly begin: number;
  end: number;
  /** How many bytes of the weights they need. */
  weights: number;
}

/** The launches at load, and a first run that begins before all weights are there. */
export class FirstRun {
  /** Settles when all weights have been checked and, unless a run sees to it, all launches at load have run. */
  readonly ready: Promise<void>;
  readonly #section: WasmSection<Expression>;
  readonly #arrivals: Arrivals;
  readonly #executor: Executor;
  /** The launches that run at load are those before this one; of them, those before `#prepared` have run. */
  readonly #atLoad: number;
  #prepared = 0;
  /** By the number of the launch for which they stand. */
  readonly #standIns: ReadonlyMap<number, StandIn>;
  #preparing: Promise<void> | undefined;
  /** Launches at load that are under way before a run. */
  #step: Promise<void> | undefined;
  #isRunning = false;
  #hasDeferred = false;
  /** When what arrives had its last turn. */
  #paused = 0;

  constructor(section: WasmSection<Expression>, arrivals: Arrivals, executor: Executor) {
    this.#section = section;
    this.#arrivals = arrivals;
    this.#executor = executor;
    this.#atLoad = section.prepare ?? 0;
    this.#standIns = standIns(section);
    this.ready = this.#prepareAsTheyCome();
    // What goes wrong goes wrong in the first run again, which says so.
    this.ready.catch(() => undefined);
  }

  /** Whether all weights have been checked and all launches at load have run. */
  get isOver(): boolean {
    return this.#arrivals.isComplete && this.#prepared === this.#atLoad;
  }

  /** Wait for all weights, and run what is to run at load. */
  async prepare(): Promise<void> {
    await this.#arrivals.complete;
    await this.#prepareRest();
  }

  /** Run each launch as soon as its weights are there; return when all weights have been checked. */
  async run(): Promise<void> {
    this.#isRunning = true;
    try {
      await this.#step;
      if (this.#canDefer) await this.#runDeferred();
      else await this.#runAsTheyCome();
    } catch (error) {
      // Wrong weights make launches fail too: what is wrong with the weights, or why there are none, is said first.
      await this.#arrivals.complete;
      throw error;
    } finally {
      this.#isRunning = false;
    }
  }

  /** Whether launches at load can be left for later: that is for once, and none has run whose result would be overwritten. */
  get #canDefer(): boolean {
    const { firstRun } = this.#section;
    return firstRun !== undefined && !this.#hasDeferred && this.#prepared <= firstRun.limit;
  }

  async #runAsTheyCome(): Promise<void> {
    const { launches } = this.#section;
    let next = this.#atLoad;
    while (next < launches.length && !this.#arrivals.isComplete) {
      const wanted = this.#nextPreparation(launches.length);
      if (wanted > next) next = await this.#advance(next, wanted);
      else this.#prepared = await this.#advance(this.#prepared, this.#prepared + 1);
    }
    await this.prepare();
    if (next < launches.length) await this.#executor.run(next, launches.length);
  }

  /** The same, but launches at load are left for later. */
  async #runDeferred(): Promise<void> {
    const end = this.#section.launches.length;
    const wanted = this.#nextPreparation(end);
    const stops = [...this.#standIns.keys()].filter((number) => number >= wanted).concat(end);
    let next = this.#atLoad;
    for (const stop of stops) {
      while (next < stop) next = await this.#advance(next, stop);
      const standIn = this.#standIns.get(stop);
      if (!standIn) break;
      await this.#arrivals.until(standIn.weights);
      await this.#runAndPause(standIn.begin, standIn.end);
      next++;
    }
    await this.#arrivals.complete;
    this.#hasDeferred = true;
    // In turns with all else, when the caller has the outputs.
    turn()
      .then(() => this.#prepareAsTheyCome())
      .catch(() => undefined);
  }

  /** Run each launch at load as soon as its weights are there, until a run or a profile sees to the rest. */
  async #prepareAsTheyCome(): Promise<void> {
    const { launches } = this.#section;
    try {
      while (this.#prepared < this.#atLoad) {
        await this.#arrivals.until(launches[this.#prepared]?.weights);
        if (this.#isRunning || this.#preparing) break;
        this.#step = this.#advance(this.#prepared, this.#atLoad).then((next) => {
          this.#prepared = next;
        });
        await this.#step;
      }
    } finally {
      // What is wrong with the weights is said first.
      await this.#arrivals.complete;
    }
  }

  /** The launch before which another one at load has to run; `end` where there is none left. */
  #nextPreparation(end: number): number {
    if (this.#prepared === this.#atLoad) return end;
    return this.#atLoad + (this.#section.launches[this.#prepared]?.before ?? 0);
  }

  /** Once they have been begun, it is for all: no two runs share the memory. */
  #prepareRest(): Promise<void> {
    this.#preparing ??= (async () => {
      await this.#step;
      if (this.#prepared < this.#atLoad) await this.#executor.run(this.#prepared, this.#atLoad);
      this.#prepared = this.#atLoad;
    })();
    return this.#preparing;
  }

  /**
   * Wait for the weights of a launch, and run it, with those after it and before `limit` whose weights are there, too, where
   * that does not hold up what arrives. Weights are written before the message that lets workers read them is sent.
   *
   * @returns the launch after them
   */
  async #advance(begin: number, limit: number): Promise<number> {
    const { launches } = this.#section;
    await this.#arrivals.until(launches[begin]?.weights);
    let end = begin + 1;
    if (this.#executor.isAside) {
      while (end < limit && this.#arrivals.has(launches[end]?.weights)) end++;
    }
    await this.#runAndPause(begin, end);
    return end;
  }

  async #runAndPause(begin: number, end: number): Promise<void> {
    await this.#executor.run(begin, end);
    if (!this.#executor.isAside && performance.now() - this.#paused >= SLICE) {
      await turn();
      this.#paused = performance.now();
    }
  }
}

/** Those of a section, in the order of a run. */
function standIns({
  launches,
  prepare = 0,
  firstRun,
}: WasmSection<Expression>): Map<number, StandIn> {
  const found = new Map<number, StandIn>();
  for (const [i, { instead = 0, weights = Infinity }] of (firstRun?.launches ?? []).entries()) {
    const begin = launches.length + i;
    const group = found.get(prepare + instead) ?? { begin, end: begin, weights: 0 };
    group.end = begin + 1;
    group.weights = Math.max(group.weights, weights);
    found.set(prepare + instead, group);
  }
  return found;
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
