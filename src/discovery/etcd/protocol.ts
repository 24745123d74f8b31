/**
 * The part of etcd's v3 API that discovery and registration use, as a descriptor for @grpc/proto-loader.
 *
 * Numbers and types are those of etcd's rpc.proto and kv.proto; fields that nobody here reads are left out, which
 * spares decoding them ten thousand times. The names of messages do not go over the wire, those of services do.
 */

interface Field {
  readonly type: string;
  readonly id: number;
  readonly rule?: "repeated";
}

interface Method {
  readonly requestType: string;
  readonly responseType: string;
  readonly requestStream?: true;
  readonly responseStream?: true;
}

/** A package, service, message or enum in protobufjs' JSON. */
export interface Descriptor {
  readonly nested?: { readonly [name: string]: Descriptor };
  readonly methods?: { readonly [name: string]: Method };
  readonly fields?: { readonly [name: string]: Field };
  readonly values?: { readonly [name: string]: number };
}

function message(fields: { readonly [name: string]: Field }): Descriptor {
  return { fields };
}

const field = (type: string, id: number): Field => ({ type, id });
const repeated = (type: string, id: number): Field => ({ type, id, rule: "repeated" });
const call = (requestType: string, responseType: string): Method => ({ requestType, responseType });
const stream = (requestType: string, responseType: string): Method => ({
  requestType,
  responseType,
  requestStream: true,
  responseStream: true,
});

export const protocol: Descriptor = {
  nested: {
    etcdserverpb: {
      nested: {
        KV: {
          methods: { Range: call("RangeRequest", "RangeResponse"), Put: call("PutRequest", "PutResponse") },
        },
        Watch: { methods: { Watch: stream("WatchRequest", "WatchResponse") } },
        Lease: {
          methods: {
            LeaseGrant: call("LeaseGrantRequest", "LeaseGrantResponse"),
            LeaseRevoke: call("LeaseRevokeRequest", "LeaseRevokeResponse"),
            LeaseKeepAlive: stream("LeaseKeepAliveRequest", "LeaseKeepAliveResponse"),
          },
        },
        Auth: { methods: { Authenticate: call("AuthenticateRequest", "AuthenticateResponse") } },

        ResponseHeader: message({
          clusterId: field("uint64", 1),
          revision: field("int64", 3),
          raftTerm: field("uint64", 4),
        }),
        KeyValue: message({
          key: field("bytes", 1),
          modRevision: field("int64", 3),
          value: field("bytes", 5),
          lease: field("int64", 6),
        }),
        EventType: { values: { PUT: 0, DELETE: 1 } },
        Event: message({ type: field("EventType", 1), kv: field("KeyValue", 2) }),

        RangeRequest: message({
          key: field("bytes", 1),
          rangeEnd: field("bytes", 2),
          limit: field("int64", 3),
          revision: field("int64", 4),
        }),
        RangeResponse: message({
          header: field("ResponseHeader", 1),
          kvs: repeated("KeyValue", 2),
          more: field("bool", 3),
        }),
        PutRequest: message({ key: field("bytes", 1), value: field("bytes", 2), lease: field("int64", 3) }),
        PutResponse: message({ header: field("ResponseHeader", 1) }),

        WatchRequest: message({
          createRequest: field("WatchCreateRequest", 1),
          cancelRequest: field("WatchCancelRequest", 2),
          progressRequest: field("WatchProgressRequest", 3),
        }),
        WatchCreateRequest: message({
          key: field("bytes", 1),
          rangeEnd: field("bytes", 2),
          startRevision: field("int64", 3),
          progressNotify: field("bool", 4),
          fragment: field("bool", 8),
        }),
        WatchCancelRequest: message({ watchId: field("int64", 1) }),
        WatchProgressRequest: message({}),
        WatchResponse: message({
          header: field("ResponseHeader", 1),
          watchId: field("int64", 2),
          created: field("bool", 3),
          canceled: field("bool", 4),
          compactRevision: field("int64", 5),
          cancelReason: field("string", 6),
          fragment: field("bool", 7),
          events: repeated("Event", 11),
        }),

        LeaseGrantRequest: message({ TTL: field("int64", 1) }),
        LeaseGrantResponse: message({
          header: field("ResponseHeader", 1),
          ID: field("int64", 2),
          TTL: field("int64", 3),
          error: field("string", 4),
        }),
        LeaseRevokeRequest: message({ ID: field("int64", 1) }),
        LeaseRevokeResponse: message({ header: field("ResponseHeader", 1) }),
        LeaseKeepAliveRequest: message({ ID: field("int64", 1) }),
        LeaseKeepAliveResponse: message({
          header: field("ResponseHeader", 1),
          ID: field("int64", 2),
          TTL: field("int64", 3),
        }),

        AuthenticateRequest: message({ name: field("string", 1), password: field("string", 2) }),
        AuthenticateResponse: message({ header: field("ResponseHeader", 1), token: field("string", 2) }),
      },
    },
  },
};
