/** Reads fields out of JSON that anybody may have written. */

export type JsonObject = Readonly<Record<string, unknown>>;

/** @throws Error unless the text is a JSON object. */
export function readObject(text: string): JsonObject {
  const value: unknown = JSON.parse(text);
  if (!isObject(value)) throw new TypeError("it is not a JSON object");
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The text in a field. @throws TypeError when there is none. */
export function readText(fields: JsonObject, name: string): string {
  const value = fields[name];
  if (typeof value !== "string" || value === "")
    throw new TypeError(`its ${name} is ${JSON.stringify(value)}`);
  return value;
}

/**
 * A weight that is a number or, as in maps from text to text, a numeric text; undefined for anything else. Whether it can
 * be used is for those to judge who use it.
 */
export function readWeight(value: unknown): number | undefined {
  const weight = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof weight === "number" && !Number.isNaN(weight) ? weight : undefined;
}

/** A zone, where one is given as text. */
export function readZone(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
