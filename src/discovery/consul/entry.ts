/** One instance as `/v1/health/service/:name` describes it, as far as it is used. Nothing of it is sure to be there. */

export interface HealthEntry {
  readonly Node?: {
    readonly Node?: unknown;
    readonly Address?: unknown;
    readonly Meta?: Readonly<Record<string, unknown>> | null;
    readonly Locality?: { readonly Zone?: unknown } | null;
  } | null;
  readonly Service?: EntryService | null;
  readonly Checks?: readonly { readonly Status?: unknown }[] | null;
}

export interface EntryService {
  readonly ID?: unknown;
  readonly Address?: unknown;
  readonly Port?: unknown;
  readonly Tags?: readonly unknown[] | null;
  readonly Meta?: Readonly<Record<string, unknown>> | null;
  readonly Weights?: { readonly Passing?: unknown; readonly Warning?: unknown } | null;
  readonly TaggedAddresses?: Readonly<Record<string, { readonly Address?: unknown } | null>> | null;
  readonly Locality?: { readonly Zone?: unknown } | null;
}

/** The weight as metadata tells it, or undefined when that makes no sense. */
export function metaWeight(service: EntryService): number | undefined {
  const text = service.Meta?.weight;
  const weight = isText(text) ? Number(text) : Number.NaN;
  return weight >= 0 && Number.isFinite(weight) ? weight : undefined;
}

export function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}
