/** The JSON inside the envelopes: what is sent, and what is read of the answers and pushes. */
import type { Payload } from "./payload.ts";

/** A service as Nacos knows it: name, group and namespace together. */
export interface ServiceKey {
  readonly namespace: string;
  readonly group: string;
  readonly service: string;
}

/** One instance in an answer or push. Nothing of it is sure to be there. */
export interface NacosHost {
  readonly ip?: unknown;
  readonly port?: unknown;
  readonly weight?: unknown;
  readonly healthy?: unknown;
  readonly enabled?: unknown;
  readonly clusterName?: unknown;
  readonly metadata?: Readonly<Record<string, unknown>> | null;
}

/** All instances of one service, at one time. */
export interface ServiceInfo {
  readonly hosts: readonly NacosHost[];
  /** When the server put this together, in milliseconds of its own clock. */
  readonly lastRefTime: number;
  /** So few are healthy that the server calls all of them healthy, lest the few drown. */
  readonly reachProtectionThreshold: boolean;
}

/** Fields of a message of either direction. */
export type Fields = Readonly<Record<string, unknown>>;

/** `NacosException.UN_REGISTER`: the server does not know this connection (any more). */
export const unregistered = 301;
/** `NacosException.NO_RIGHT`: no token, or one that expired. */
export const noRight = 403;

/** A request that the server answered with an error. */
export class NacosError extends Error {
  override readonly name: string = "NacosError";
  /** Nacos' own error code, such as 403. */
  readonly errorCode: number;

  constructor(type: string, errorCode: number, message: string) {
    super(`${type} was answered with ${errorCode}${message === "" ? "" : ` ${message}`}`);
    this.errorCode = errorCode;
  }
}

/** @throws Error when the body is no JSON object. */
export function fieldsOf({ type, body }: Payload): Fields {
  const parsed: unknown = body === "" ? {} : JSON.parse(body);
  if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return parsed as Fields;
  throw new Error(`the body of ${type} is not an object`);
}

/**
 * The fields of an answer.
 *
 * @throws NacosError when it is an error, or Error when it makes no sense.
 */
export function answerTo(request: string, payload: Payload): Fields {
  const fields = fieldsOf(payload);
  const { resultCode, errorCode, message } = fields;
  if (resultCode === 200) return fields;
  const code = typeof errorCode === "number" && errorCode !== 0 ? errorCode : Number(resultCode ?? 500);
  throw new NacosError(request, code, typeof message === "string" ? message.slice(0, 200) : "");
}

/** @throws Error when there is none, or it has no hosts. */
export function serviceInfoOf({ serviceInfo }: Fields): ServiceInfo {
  const info = serviceInfo as { readonly [Name in keyof ServiceInfo]?: unknown } | null | undefined;
  // Java leaves null what was never set: a service that nobody registered has no hosts.
  const hosts = info?.hosts ?? [];
  if (info === undefined || info === null || !Array.isArray(hosts))
    throw new Error("the answer has no serviceInfo");
  return {
    hosts: hosts.filter((host) => typeof host === "object" && host !== null),
    lastRefTime: typeof info.lastRefTime === "number" ? info.lastRefTime : 0,
    reachProtectionThreshold: info.reachProtectionThreshold === true,
  };
}

/** Which service a push is about. Servers write `group@@service` in some places and the bare name in others. */
export function pushedService(fields: Fields): Pick<ServiceKey, "group" | "service"> {
  const info = (fields.serviceInfo ?? {}) as Fields;
  const written = String(fields.serviceName ?? info.name ?? "");
  const split = written.indexOf("@@");
  if (split >= 0) return { group: written.slice(0, split), service: written.slice(split + 2) };
  return { group: String(fields.groupName ?? info.groupName ?? ""), service: written };
}

export function connectionSetup(namespace: string): Fields {
  return {
    clientVersion: "Nacos-Node-Client:v2.4.0",
    tenant: namespace,
    labels: { source: "sdk", module: "naming" },
    abilityTable: {},
  };
}

export function subscription(key: ServiceKey, clusters: readonly string[], subscribe: boolean): Fields {
  return { ...named(key), clusters: clusters.join(","), subscribe };
}

export function announcement(
  key: ServiceKey,
  instance: Fields,
  type: "registerInstance" | "deregisterInstance",
): Fields {
  return { ...named(key), type, instance };
}

function named({ namespace, group, service }: ServiceKey): Fields {
  return { module: "naming", namespace, serviceName: service, groupName: group };
}
