/** Fault 8 over gRPC: a server sends GOAWAY every 250 ms under load. */
import { setTimeout as sleep } from "node:timers/promises";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { drive } from "../../support/drive.ts";
import { count, printFigure } from "../../support/figure.ts";
import { balance, connected } from "../support/clients.ts";
import { methods, startServers } from "../support/servers.ts";

test("calls in flight finish, and those that the server did not take go elsewhere, whatever their method", async () => {
  const peers = new Set<string>();
  await using servers = await startServers(3, {
    put: (call, callback) => {
      peers.add(call.getPeer());
      setTimeout(() => callback(null, Buffer.from("1")), 5);
    },
  });
  const addresses = servers.map(({ address }) => address);
  // Not to be tried again but where it was provably not processed.
  await using balanced = balance(addresses, { retry: { methods: [] } });
  await balanced.client.put();
  const config = JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] });
  const plain = new Client(`ipv4:${addresses.join(",")}`, credentials.createInsecure(), {
    "grpc.service_config": config,
    "grpc.use_local_subchannel_pool": 1,
  });
  await connected(plain);
  const driving = Promise.all([
    drive({ ratePerSecond: 250, seconds: 6 }, async () => {
      await balanced.client.put();
    }),
    drive({ ratePerSecond: 250, seconds: 6 }, () => put(plain)),
  ]);
  let drains = 0;
  for (let round = 0; round < 22; round++) {
    await sleep(250);
    const server = servers[round % servers.length];
    server?.server.drain(server.address, 5_000);
    drains++;
  }
  const [ours, theirs] = await driving;
  plain.close();
  printFigure(
    "8 GOAWAY mid-flight over gRPC",
    `${ours.failed.length} of ${count(ours.calls.length)} failed (pass: 0), round_robin ${theirs.failed.length}`,
    `${drains} GOAWAYs, ${peers.size} connections`,
  );
  expect(peers.size, "connections made anew").toBeGreaterThan(drains / 2);
  expect(ours.failed, ours.describeFailures()).toHaveLength(0);
});

function put(client: Client): Promise<void> {
  const { path, requestSerialize, responseDeserialize } = methods.put;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      Buffer.alloc(0),
      new Metadata(),
      {},
      (error: ServiceError | null) => (error === null ? resolve() : reject(error)),
    );
  });
}
