/** The pickers over the nodes that may be called: one for each zone that calls prefer, made when first needed. */
import type { Picker } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import type { GuardedPolicy } from "./guarded-policy.ts";
import type { ResolvedOptions } from "./options.ts";
import { buildPicker } from "./tiered-picker.ts";

/** More zones than any service has: beyond it, a caller's zones are names without end. */
const mostZones = 100;

interface ZonePicker {
  readonly picker: Picker | undefined;
  /** The callable nodes that it was built for. */
  readonly set: readonly Node[];
}

export class Pickers {
  /** For calls that prefer the caller's own zone, which are nearly all. */
  own: Picker | undefined = undefined;

  readonly #policy: GuardedPolicy;
  readonly #options: Pick<ResolvedOptions, "zone" | "random">;
  /** For calls of views with a zone of their own. */
  readonly #others: Map<string | undefined, ZonePicker> = new Map();
  #eligible: readonly Node[] = [];
  #callable: readonly Node[] = [];

  constructor(policy: GuardedPolicy, options: Pick<ResolvedOptions, "zone" | "random">) {
    this.#policy = policy;
    this.#options = options;
  }

  /** Other nodes may be called from now on. */
  rebuild(eligible: readonly Node[], callable: readonly Node[]): void {
    this.#eligible = eligible;
    this.#callable = callable;
    this.own = this.#build(this.#options.zone, this.own);
  }

  of(zone: string | undefined): Picker | undefined {
    if (zone === this.#options.zone) return this.own;
    const known = this.#others.get(zone);
    if (known?.set === this.#callable) return known.picker;
    const picker = this.#build(zone, known?.picker);
    if (known !== undefined || this.#others.size < mostZones) {
      this.#others.set(zone, { picker, set: this.#callable });
    }
    return picker;
  }

  #build(zone: string | undefined, previous: Picker | undefined): Picker | undefined {
    return buildPicker(this.#policy, this.#eligible, this.#callable, zone, this.#options.random, previous);
  }
}
