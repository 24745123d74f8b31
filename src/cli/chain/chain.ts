/** The chain A -> B -> C as processes, and what can be done to its layers. */
import { Layer } from "./layer.ts";
import type { CallSettings, ChainKind, LayerBehaviour, LayerStats } from "./messages.ts";
import { behaviours, callsOfA, callsOfB, leastLimits, processes } from "./plan.ts";

export interface ChainOptions {
  readonly kind: ChainKind;
  readonly b?: Partial<LayerBehaviour> | undefined;
  readonly c?: Partial<LayerBehaviour> | undefined;
  /** Other settings for the calls of A and of B. */
  readonly calls?: Partial<CallSettings> | undefined;
  /** Told of each process as it starts. */
  readonly onStart?: ((pid: number) => void) | undefined;
}

export type LayerName = keyof typeof processes;

export class Chain implements AsyncDisposable {
  readonly kind: ChainKind;
  readonly a: readonly Layer[];
  readonly b: readonly Layer[];
  readonly c: readonly Layer[];

  private constructor(kind: ChainKind, a: readonly Layer[], b: readonly Layer[], c: readonly Layer[]) {
    this.kind = kind;
    this.a = a;
    this.b = b;
    this.c = c;
  }

  /** Starts C first, as each layer has to know where the one below it is. */
  static async start({ kind, calls = {}, onStart, ...changes }: ChainOptions): Promise<Chain> {
    const started: Layer[] = [];
    const layer = async (
      name: LayerName,
      change: Partial<LayerBehaviour> | undefined,
      below?: { readonly layer: readonly Layer[]; readonly name: string; readonly settings: CallSettings },
    ): Promise<readonly Layer[]> => {
      const plan = {
        kind,
        name: name.toUpperCase(),
        behaviour: { ...behaviours[name], ...change },
        leastLimit: leastLimits[name],
        below:
          below === undefined
            ? undefined
            : {
                name: below.name,
                addresses: below.layer.map(({ address }) => address),
                settings: { ...below.settings, ...calls },
              },
      };
      const all = Array.from({ length: processes[name] }, async () => {
        const one = await Layer.start(plan);
        started.push(one);
        onStart?.(one.pid);
        return one;
      });
      return Promise.all(all);
    };
    try {
      const c = await layer("c", changes.c);
      const b = await layer("b", changes.b, { layer: c, name: "c", settings: callsOfB });
      const a = await layer("a", undefined, { layer: b, name: "b", settings: callsOfA });
      return new Chain(kind, a, b, c);
    } catch (error) {
      await Promise.all(started.map((one) => one.kill()));
      throw error;
    }
  }

  /** Where the chain is called. */
  get address(): string {
    return (this.a[0] as Layer).address;
  }

  get layers(): readonly Layer[] {
    return [...this.a, ...this.b, ...this.c];
  }

  /** Of each process of a layer. */
  stats(name: LayerName): Promise<readonly LayerStats[]> {
    return Promise.all(this[name].map((layer) => layer.stats()));
  }

  async configure(name: LayerName, change: Partial<LayerBehaviour>): Promise<void> {
    await Promise.all(this[name].map((layer) => layer.configure(change)));
  }

  freezeC(): void {
    for (const layer of this.c) layer.freeze();
  }

  thawC(): void {
    for (const layer of this.c) layer.thaw();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.layers.map((layer) => layer.kill()));
  }
}
