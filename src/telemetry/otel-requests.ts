/**
 * The attributes of `http.client.request.duration`, one object for each combination that occurs, up to a limit.
 *
 * They are made once and then found again: an attempt allocates nothing. OpenTelemetry's SDK keeps each combination
 * for as long as it lives, so the limit is for good; what comes after it is recorded as one.
 */
import type { Attributes } from "@opentelemetry/api";
import type { AttemptEndEvent } from "../core/events.ts";
import { errorTypeOf, methodOf, originOf, otherMethod, schemeOf } from "./http-attributes.ts";
import { other } from "./series-cap.ts";

const rest: Attributes = { "http.request.method": otherMethod, "server.address": other };

export class RequestAttributes {
  readonly #limit: number;
  readonly #known: Map<string, Attributes> = new Map();
  // The last attempt's parts, since most are like the one before.
  #service = "";
  #method = "";
  #secure = false;
  #outcome = "";
  #reason = "";
  #statusCode: number | undefined = undefined;
  #attributes: Attributes = rest;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @param service as its series name it. */
  of(service: string, event: AttemptEndEvent): Attributes {
    const { method, outcome, reason, statusCode } = event;
    const secure = event.address.startsWith("https:");
    if (
      statusCode === this.#statusCode &&
      service === this.#service &&
      method === this.#method &&
      reason === this.#reason &&
      outcome === this.#outcome &&
      secure === this.#secure
    ) {
      return this.#attributes;
    }
    this.#service = service;
    this.#method = method;
    this.#secure = secure;
    this.#outcome = outcome;
    this.#reason = reason;
    this.#statusCode = statusCode;
    this.#attributes = this.#find(service, event);
    return this.#attributes;
  }

  #find(service: string, event: AttemptEndEvent): Attributes {
    const method = methodOf(event.method);
    const error = errorTypeOf(event) ?? "";
    const key = [schemeOf(event.address), method, event.statusCode, error, service].join(" ");
    let attributes = this.#known.get(key);
    if (attributes !== undefined) return attributes;
    if (this.#known.size >= this.#limit) return rest;
    attributes = this.#create(service, event, method, error);
    this.#known.set(key, attributes);
    return attributes;
  }

  #create(service: string, event: AttemptEndEvent, method: string, error: string): Attributes {
    const { scheme, host, port } = originOf(service, schemeOf(event.address));
    const attributes: Attributes = {
      "http.request.method": method,
      "server.address": host,
      "server.port": port,
      "url.scheme": scheme,
    };
    if (event.statusCode !== undefined) attributes["http.response.status_code"] = event.statusCode;
    if (error !== "") attributes["error.type"] = error;
    return attributes;
  }
}
