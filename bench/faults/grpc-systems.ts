/** The gRPC systems of the fault bench: grpc-js's round_robin as it comes, and with all that it offers against faults. */
import {
  type ChannelOptions,
  Client,
  credentials,
  getChannelzHandlers,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { getOrder } from "./grpc-method.ts";
import { attempts, backoffMs, totalMs } from "./plan.ts";
import type { Caller, System } from "./system.ts";

const connectMs = 5_000;
const message: Buffer = Buffer.from(JSON.stringify({ id: 42 }));
const roundRobin = { loadBalancingConfig: [{ round_robin: {} }] } as const;
const retryPolicy = {
  maxAttempts: attempts,
  initialBackoff: `${backoffMs / 1_000}s`,
  maxBackoff: "0.25s",
  backoffMultiplier: 2,
  // INTERNAL is what a 500 is to the HTTP systems, which are told to retry it.
  retryableStatusCodes: ["UNAVAILABLE", "INTERNAL"],
} as const;

export const grpcSystems: readonly System[] = [
  {
    name: "grpc-js round_robin",
    protocol: "grpc",
    settings: "grpc-js's defaults",
    open: (addresses) => openChannel(addresses, { "grpc.service_config": JSON.stringify(roundRobin) }),
  },
  {
    name: "grpc-js round_robin, retryPolicy, keepalive",
    protocol: "grpc",
    settings: `\`maxAttempts\` ${attempts} on ${retryPolicy.retryableStatusCodes.join(" and ")}, \`initialBackoff\` ${retryPolicy.initialBackoff}, keepalive 1 s, its timeout 0.5 s`,
    open: (addresses) =>
      openChannel(addresses, {
        "grpc.service_config": JSON.stringify({
          ...roundRobin,
          methodConfig: [{ name: [{ service: "bench.Orders" }], retryPolicy }],
        }),
        "grpc.keepalive_time_ms": 1_000,
        "grpc.keepalive_timeout_ms": 500,
      }),
  },
];

async function openChannel(addresses: readonly string[], options: ChannelOptions): Promise<Caller> {
  const client = new Client(`ipv4:${addresses.join(",")}`, credentials.createInsecure(), options);
  await new Promise<void>((resolve, reject) => {
    client.waitForReady(Date.now() + connectMs, (error) => (error ? reject(error) : resolve()));
  });
  return {
    call: () => call(client),
    sent: () => callsByAddress(client),
    close: async () => client.close(),
  };
}

function call(client: Client): Promise<void> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      getOrder.path,
      getOrder.requestSerialize,
      getOrder.responseDeserialize,
      message,
      new Metadata(),
      { deadline: Date.now() + totalMs },
      (error: ServiceError | null) => (error === null ? resolve() : reject(error)),
    );
  });
}

/** From channelz, grpc's own statistics: the calls begun on each connection, retries included. */
function callsByAddress(client: Client): ReadonlyMap<string, number> {
  const channelz = getChannelzHandlers();
  const calls = new Map<string, number>();
  const ask = <Request>(asked: object): Request => ({ request: asked }) as Request;
  const { id } = client.getChannel().getChannelzRef();
  // Both answer before they return.
  channelz.GetChannel(
    ask<Parameters<typeof channelz.GetChannel>[0]>({ channel_id: String(id) }),
    (_error, answer) => {
      for (const { subchannel_id } of answer?.channel?.subchannel_ref ?? []) {
        channelz.GetSubchannel(
          ask<Parameters<typeof channelz.GetSubchannel>[0]>({ subchannel_id: String(subchannel_id) }),
          (_subchannelError, found) => {
            const data = found?.subchannel?.data;
            if (data?.target) calls.set(data.target, Number(data.calls_started));
          },
        );
      }
    },
  );
  return calls;
}
