/** What a file of endpoints may look like: JSON or YAML, and where in it the endpoints of a service stand. */
import { basename, extname } from "node:path";
import type { Endpoint } from "../core/endpoint.ts";

export type FileFormat = "json" | "yaml";

/** How many times aliases may multiply a YAML document; beyond it is a "billion laughs" bomb. yaml's own default. */
const mostAliases = 100;

/** @throws RangeError for an extension that names neither format. */
export function formatOf(path: string): FileFormat {
  switch (extname(path).toLowerCase()) {
    case ".json":
      return "json";
    case ".yaml":
    case ".yml":
      return "yaml";
    default:
      throw new RangeError(`path must end in .json, .yaml or .yml, got "${basename(path)}"`);
  }
}

/** @throws the parser's error, which says where. */
export async function parseText(format: FileFormat, text: string): Promise<unknown> {
  if (format === "json") return JSON.parse(text);
  // Loaded by the first YAML file only.
  const { parse } = await import("yaml");
  return parse(text, { maxAliasCount: mostAliases, prettyErrors: true, logLevel: "error" });
}

/**
 * Finds the endpoints of a service in the content of a file. Whether each is any good is for the checker.
 *
 * @throws TypeError that says what is expected where.
 */
export function endpointsFor(service: string, content: unknown): readonly Endpoint[] {
  if (Array.isArray(content)) return content.map(asEndpoint);
  if (!isObject(content)) {
    throw new TypeError(`must hold an array of endpoints or an object, got ${describeType(content)}`);
  }
  const hasEndpoints = Object.hasOwn(content, "endpoints");
  const hasServices = Object.hasOwn(content, "services");
  if (hasEndpoints === hasServices) {
    const found = hasEndpoints ? "both" : listOf(Object.keys(content));
    throw new TypeError(`must have either "endpoints" or "services" at the top, got ${found}`);
  }
  if (hasEndpoints) return endpointsAt("endpoints", content.endpoints);
  const { services } = content;
  if (!isObject(services)) {
    throw new TypeError(`"services" must map names to arrays of endpoints, got ${describeType(services)}`);
  }
  if (!Object.hasOwn(services, service)) {
    throw new TypeError(`"services" does not name "${service}", only ${listOf(Object.keys(services))}`);
  }
  return endpointsAt(`services.${service}`, services[service]);
}

function endpointsAt(place: string, value: unknown): readonly Endpoint[] {
  if (!Array.isArray(value)) {
    throw new TypeError(`"${place}" must be an array of endpoints, got ${describeType(value)}`);
  }
  return value.map(asEndpoint);
}

function asEndpoint(item: unknown): Endpoint {
  return typeof item === "string" ? { address: item } : (item as Endpoint);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function describeType(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (typeof value === "object") return Array.isArray(value) ? "an array" : "an object";
  return `a ${typeof value}`;
}

function listOf(names: readonly string[]): string {
  if (names.length === 0) return "nothing";
  const shown = names.slice(0, 5).map((name) => `"${name.slice(0, 50)}"`);
  return shown.join(", ") + (names.length > shown.length ? `, and ${names.length - shown.length} more` : "");
}
