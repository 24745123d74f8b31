/** Starts etcd, alone or as a cluster, with or without users. */
import { findServer } from "./find-server.ts";
import { findFreePort } from "./free-port.ts";
import { type RegistryServer, ServerProcess } from "./server-process.ts";

export interface EtcdOptions {
  /** Default: the current etcd that `scripts/servers` builds. Debian's is `findServer("etcd-debian")`. */
  readonly binary?: string;
  /** Switches access control on, with this user as root. */
  readonly auth?: {
    readonly user: string;
    readonly password: string;
    /** How long a token lives that is not used. Default 300. */
    readonly tokenTtlSeconds?: number;
  };
}

export interface EtcdServer extends RegistryServer {
  /** `http://127.0.0.1:port`: gRPC, and JSON over HTTP under `/v3/`. */
  readonly url: string;
  /** Calls the JSON gateway: `etcd.call("kv/range", { key })`. Keys and values are base64 there. */
  call(method: string, body: object): Promise<Readonly<Record<string, unknown>>>;
}

export async function startEtcd(options: EtcdOptions = {}): Promise<EtcdServer> {
  const [server] = await startMembers(1, options);
  return server as EtcdServer;
}

/** Members of one cluster, each to be killed and restarted by itself; wiping is for the whole, so not for one. */
export function startEtcdCluster(members: number, options: EtcdOptions = {}): Promise<EtcdServer[]> {
  return startMembers(members, options);
}

/** base64, as the JSON gateway wants its keys and values. */
export function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

async function startMembers(count: number, options: EtcdOptions): Promise<EtcdServer[]> {
  const places: Place[] = [];
  for (let index = 0; index < count; index++) {
    places.push({
      name: `m${index}`,
      clientUrl: `http://127.0.0.1:${await findFreePort()}`,
      peerUrl: `http://127.0.0.1:${await findFreePort()}`,
    });
  }
  const cluster = places.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
  const started = await Promise.allSettled(
    places.map((place, index) => startMember(place, cluster, options, index === 0)),
  );
  const servers = started.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const failure = started.find((result) => result.status === "rejected");
  if (failure === undefined) return servers;
  await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  throw failure.reason;
}

interface Place {
  readonly name: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
}

async function startMember(
  { name, clientUrl, peerUrl }: Place,
  cluster: string,
  { binary = findServer("etcd"), auth }: EtcdOptions,
  isFirst: boolean,
): Promise<EtcdServer> {
  if (binary === undefined) throw new Error("there is no etcd: run scripts/servers");
  const call = createCaller(clientUrl, auth);
  const server = await ServerProcess.start(new URL(clientUrl).host, {
    name: "etcd",
    binary,
    launch: (dataDir) => ({
      args: [
        `--name=${name}`,
        `--data-dir=${dataDir}`,
        `--listen-client-urls=${clientUrl}`,
        `--advertise-client-urls=${clientUrl}`,
        `--listen-peer-urls=${peerUrl}`,
        `--initial-advertise-peer-urls=${peerUrl}`,
        `--initial-cluster=${cluster}`,
        "--log-level=warn",
        // The least: each login costs a tenth of a second of a core otherwise.
        "--bcrypt-cost=4",
        ...(auth?.tokenTtlSeconds === undefined ? [] : [`--auth-token-ttl=${auth.tokenTtlSeconds}`]),
      ],
    }),
    async isReady() {
      const response = await fetch(`${clientUrl}/health`);
      return ((await response.json()) as { health: string }).health === "true";
    },
    async prepare() {
      if (auth === undefined || !isFirst) return;
      await call("auth/user/add", { name: auth.user, password: auth.password }, "without token");
      await call("auth/role/add", { name: "root" }, "without token");
      await call("auth/user/grant", { user: auth.user, role: "root" }, "without token");
      await call("auth/enable", {}, "without token");
    },
  });
  return Object.assign(server, { url: clientUrl, call });
}

type Caller = (
  method: string,
  body: object,
  access?: "without token",
) => Promise<Readonly<Record<string, unknown>>>;

function createCaller(url: string, auth: EtcdOptions["auth"]): Caller {
  const post = async (method: string, body: object, token?: string) => {
    const response = await fetch(`${url}/v3/${method}`, {
      method: "POST",
      headers: token === undefined ? {} : { authorization: token },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`etcd answered ${method} with ${response.status}: ${text}`);
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  };
  let token: string | undefined;
  const authenticate = async ({ user, password }: NonNullable<EtcdOptions["auth"]>) => {
    token = String((await post("auth/authenticate", { name: user, password })).token);
  };
  return async (method, body, access) => {
    if (auth === undefined || access === "without token") return post(method, body);
    if (token !== undefined) {
      try {
        return await post(method, body, token);
      } catch {
        // It may have expired, or be that of a process that was killed.
      }
    }
    await authenticate(auth);
    return post(method, body, token);
  };
}
