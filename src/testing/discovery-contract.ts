/**
 * What every source of endpoints must do, as tests for any framework.
 *
 * @example
 * for (const { name, run } of discoveryContract(createControls)) it(name, run);
 */
import type { Discovery } from "../core/contracts.ts";
import type { Endpoint } from "../core/endpoint.ts";

/** A source and the means to change what it reports. One is created for each test. */
export interface DiscoveryControls {
  readonly discovery: Discovery;
  /** The service to ask for. Default `orders`. */
  readonly service?: string;
  /** Makes the source report exactly these from now on. Called once before the first watch. */
  publish(endpoints: readonly Endpoint[]): Promise<void>;
  /** Whether `publish` can bring in an endpoint with a bad weight. Default true. */
  readonly takesBadEndpoints?: boolean;
  /** How many watchers, sockets and the like the source holds open, if that can be told. */
  openHandles?(): number | Promise<number>;
  /** Releases what the controls themselves hold. */
  dispose(): Promise<void>;
}

export interface ContractTest {
  readonly name: string;
  /** Resolves when the source keeps the contract, and rejects with what it did instead. */
  run(): Promise<void>;
}

export interface DiscoveryContractOptions {
  /** How long a change may take to be seen. Default 5,000: registries answer within a second or two. */
  readonly timeoutMs?: number;
}

/** The tests of the contract that `Discovery` describes. */
export function discoveryContract(
  create: () => Promise<DiscoveryControls>,
  { timeoutMs = 5_000 }: DiscoveryContractOptions = {},
): readonly ContractTest[] {
  const test = (
    name: string,
    body: (controls: DiscoveryControls, watch: Watch) => Promise<void>,
  ): ContractTest => ({
    name,
    run: async () => {
      const controls = await create();
      const readers: SnapshotReader[] = [];
      try {
        await body(controls, () => {
          const reader = new SnapshotReader(controls, timeoutMs);
          readers.push(reader);
          return reader;
        });
      } finally {
        for (const reader of readers) reader.abort();
        await controls.dispose();
      }
    },
  });
  const [a, b, c] = [
    { address: "http://10.0.0.1:8080" },
    { address: "http://10.0.0.2:8080" },
    { address: "http://10.0.0.3:8080" },
  ];

  return [
    test("begins with the set of the moment", async (controls, watch) => {
      await controls.publish([a, b]);
      await watch().until([a, b]);
    }),
    test("shows an endpoint that is added", async (controls, watch) => {
      await controls.publish([a]);
      const reader = watch();
      await reader.until([a]);
      await controls.publish([a, b]);
      await reader.until([a, b]);
    }),
    test("shows an endpoint that is removed", async (controls, watch) => {
      await controls.publish([a, b, c]);
      const reader = watch();
      await reader.until([a, b, c]);
      await controls.publish([a, c]);
      await reader.until([a, c]);
    }),
    test("shows a changed weight", async (controls, watch) => {
      await controls.publish([a, { ...b, weight: 2 }]);
      const reader = watch();
      await reader.until([a, { ...b, weight: 2 }]);
      await controls.publish([a, { ...b, weight: 3 }]);
      await reader.until([a, { ...b, weight: 3 }]);
    }),
    test("shows the last of many quick changes", async (controls, watch) => {
      await controls.publish([a]);
      const reader = watch();
      await reader.until([a]);
      for (let round = 0; round < 10; round++) await controls.publish(round % 2 === 0 ? [a, b] : [b]);
      await controls.publish([b, c]);
      await reader.until([b, c]);
    }),
    test("ends, and holds nothing open, when the signal aborts while it waits", async (controls, watch) => {
      await controls.publish([a]);
      const before = await controls.openHandles?.();
      const reader = watch();
      await reader.until([a]);
      reader.abort();
      await reader.ended();
      if (before !== undefined) {
        await eventually(
          async () => (await controls.openHandles?.()) === before,
          timeoutMs,
          "handles stay open",
        );
      }
    }),
    test("ends at once when the signal was aborted before", async (controls, watch) => {
      await controls.publish([a]);
      const reader = watch();
      reader.abort();
      await reader.ended();
    }),
    test("lets two watchers go their own ways", async (controls, watch) => {
      await controls.publish([a]);
      const first = watch();
      const second = watch();
      await first.until([a]);
      await second.until([a]);
      first.abort();
      await first.ended();
      await controls.publish([a, b]);
      await second.until([a, b]);
      await watch().until([a, b]);
    }),
    test("passes a bad endpoint on among good ones: to judge it is not its task", async (controls, watch) => {
      if (controls.takesBadEndpoints === false) return;
      await controls.publish([a, { ...b, weight: -1 }, c]);
      await watch().until([a, { ...b, weight: -1 }, c]);
    }),
  ];
}

type Watch = () => SnapshotReader;

/** One watch, read to the end in the background. */
class SnapshotReader {
  readonly #controller: AbortController = new AbortController();
  readonly #timeoutMs: number;
  readonly #reading: Promise<void>;
  #latest: readonly Endpoint[] | undefined;
  #reported: unknown;
  #failed: unknown;
  #isOver = false;

  constructor({ discovery, service = "orders" }: DiscoveryControls, timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#reading = this.#read(discovery, service);
  }

  abort(): void {
    this.#controller.abort();
  }

  /** Resolves when the latest snapshot says this; order and further fields do not matter. */
  async until(expected: readonly Endpoint[]): Promise<void> {
    const wanted = summarize(expected);
    await eventually(
      async () => this.#latest !== undefined && summarize(this.#latest) === wanted,
      this.#timeoutMs,
      () =>
        `the source never reported ${wanted}; last ${this.#latest === undefined ? "nothing" : summarize(this.#latest)}` +
        `, ended: ${this.#isOver}, failed: ${String(this.#failed)}, reported: ${String(this.#reported)}`,
    );
  }

  /** Resolves when the iteration is over; rejects if it ended with an error. */
  async ended(): Promise<void> {
    await eventually(
      async () => this.#isOver,
      this.#timeoutMs,
      "the watch goes on after its signal was aborted",
    );
    await this.#reading;
    if (this.#failed !== undefined) throw this.#failed;
  }

  async #read(discovery: Discovery, service: string): Promise<void> {
    const { signal } = this.#controller;
    try {
      const report = (error: unknown): void => {
        this.#reported = error;
      };
      for await (const snapshot of discovery.watch({ service, signal, report })) this.#latest = snapshot;
    } catch (error) {
      this.#failed = error;
    }
    this.#isOver = true;
  }
}

function summarize(endpoints: readonly Endpoint[]): string {
  return JSON.stringify(endpoints.map(({ address, weight = 1 }) => `${address} x ${weight}`).sort());
}

/**
 * Sources report when their registry does, so these tests wait for real events: they look every few milliseconds
 * and give up after `timeoutMs`.
 */
async function eventually(
  isTrue: () => Promise<boolean>,
  timeoutMs: number,
  complaint: string | (() => string),
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await isTrue())) {
    if (performance.now() > deadline)
      throw new Error(typeof complaint === "string" ? complaint : complaint());
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
