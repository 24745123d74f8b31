/** What channelz, gRPC's own statistics, says of a client: its calls and connections by address, whatever its policy. */
import { type Client, getChannelzHandlers } from "@grpc/grpc-js";

export interface AddressStatistics {
  /** Calls begun, retries included. */
  readonly started: number;
  readonly inflight: number;
  /** The connections that stand, by numbers that are never given again. */
  readonly sockets: readonly string[];
}

const handlers = getChannelzHandlers();
type ChannelRequest = Parameters<typeof handlers.GetChannel>[0];
type SubchannelRequest = Parameters<typeof handlers.GetSubchannel>[0];

/** By `127.0.0.1:50051`. */
export function statisticsOf(client: Client): ReadonlyMap<string, AddressStatistics> {
  const statistics = new Map<string, AddressStatistics>();
  const { id } = client.getChannel().getChannelzRef();
  // Both answer before they return.
  handlers.GetChannel({ request: { channel_id: String(id) } } as ChannelRequest, (_error, answer) => {
    for (const { subchannel_id } of answer?.channel?.subchannel_ref ?? []) {
      handlers.GetSubchannel(
        { request: { subchannel_id: String(subchannel_id) } } as SubchannelRequest,
        (_subchannelError, found) => {
          const { data, socket_ref = [] } = found?.subchannel ?? {};
          if (!data?.target) return;
          const started = Number(data.calls_started);
          statistics.set(data.target, {
            started,
            inflight: started - Number(data.calls_succeeded) - Number(data.calls_failed),
            sockets: socket_ref.map(({ socket_id }) => String(socket_id)),
          });
        },
      );
    }
  });
  return statistics;
}
