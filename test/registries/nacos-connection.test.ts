/** The connection to Nacos over real sockets, against a server that does what r-nacos does not. */
import { describe, expect, it } from "vitest";
import { nacos } from "../../src/discovery/nacos.ts";
import { startFaultProxy } from "../../src/testing/fault-proxy.ts";
import { host, ScriptedNacos } from "./support/scripted-nacos.ts";
import type { Subject } from "./support/subject.ts";
import { WatchedSet } from "./support/watched-set.ts";

const facts = { hasWeights: true, hasZones: false } as Subject["facts"];
const subject = { facts } as Subject;
const at = (number: number, weight = 1) => ({ address: `10.0.0.${number}:8080`, weight });

describe("the connection to Nacos", () => {
  it("waits for the acknowledgement, answers what it is asked, and follows pushes", async () => {
    await using server = await ScriptedNacos.start();
    server.hosts = [host(1)];
    await using set = new WatchedSet(nacos({ servers: server.address }), "orders", subject);
    await set.untilExactly([at(1)]);
    server.publish([host(1), host(2, { weight: 2.5 })]);
    await set.untilExactly([at(1), at(2, 2.5)]);
    server.push("ClientDetectionRequest", {});
    await expect
      .poll(() => server.sent.map(({ type }) => type))
      .toEqual([
        "ConnectionSetupRequest",
        "SetupAckResponse",
        "NotifySubscriberResponse",
        "ClientDetectionResponse",
      ]);
    expect(server.sent.slice(1).map(({ fields }) => fields.requestId)).toEqual([
      "ack",
      "NotifySubscriberRequest-1",
      "ClientDetectionRequest-1",
    ]);
  });

  it("goes where a reset sends it, and has everything done there again", async () => {
    await using first = await ScriptedNacos.start();
    await using second = await ScriptedNacos.start();
    const byAddress = new Map([first, second].map((server) => [server.address, server]));
    const servers = [...byAddress.keys()];
    first.hosts = [host(1)];
    second.hosts = [host(1)];
    const client = nacos({ servers });
    await using set = new WatchedSet(client, "orders", subject);
    await set.untilExactly([at(1)]);
    const context = { service: "orders", signal: new AbortController().signal, report: () => {} };
    const instance = { service: "orders", id: "1", address: "http://10.0.0.9:80" };
    const registration = await client.register(instance, context);
    for (let reset = 0; reset < 4; reset++) {
      const [from, to] = first.streams.size > 0 ? [first, second] : [second, first];
      const before = [to.count("SubscribeServiceRequest"), to.count("InstanceRequest")];
      const [serverIp, serverPort] = to.address.split(":");
      from.push("ConnectResetRequest", { serverIp, serverPort });
      await expect
        .poll(() => [to.count("SubscribeServiceRequest"), to.count("InstanceRequest")], { timeout: 15_000 })
        .toEqual(before.map((count) => count + 1));
      await expect.poll(() => [from.streams.size, to.streams.size]).toEqual([0, 1]);
      expect(from.sent.at(-1)?.type).toBe("ConnectResetResponse");
    }
    await registration[Symbol.asyncDispose]();
    // Nothing but what one set said again.
    expect(set.snapshots).toHaveLength(1);
  });

  it("leaves a server that hangs for one that answers", async () => {
    await using hanging = await ScriptedNacos.start();
    await using well = await ScriptedNacos.start();
    well.hosts = [host(1)];
    hanging.hosts = [host(1)];
    await using set = new WatchedSet(nacos({ servers: [hanging.address, well.address] }), "orders", subject);
    hanging.isSilent = true;
    await set.untilExactly([at(1)]);
    expect([hanging.streams.size, well.streams.size]).toEqual([0, 1]);
    // And once more, with the connection made: its three health checks fail.
    hanging.isSilent = false;
    well.isSilent = true;
    well.hosts = hanging.hosts = [host(2)];
    await set.untilExactly([at(2)], 40_000);
    expect([hanging.streams.size, well.streams.size]).toEqual([1, 0]);
  }, 60_000);

  it("is made anew when it is cut, however it is cut", async () => {
    await using server = await ScriptedNacos.start();
    server.hosts = [host(1)];
    const [ip, port] = server.address.split(":");
    await using proxy = await startFaultProxy({ target: `http://${ip}:${Number(port) + 1_000}` });
    const client = nacos({ servers: `127.0.0.1:${proxy.port}`, grpcPortOffset: 0 });
    await using set = new WatchedSet(client, "orders", subject);
    await set.untilExactly([at(1)]);
    const { length: errors } = set.errors;
    await proxy.set({ kind: "reset" });
    await set.untilError(errors);
    server.hosts = [host(1), host(2)];
    await proxy.reset();
    await set.untilExactly([at(1), at(2)], 40_000);
    expect(set.snapshots).toHaveLength(2);
  });

  it("takes sets of 20,000 instances, which are more than gRPC's usual limit", async () => {
    await using server = await ScriptedNacos.start();
    const metadata = { description: "x".repeat(200) };
    server.hosts = Array.from({ length: 20_000 }, (_, number) => host(number + 1, { metadata }));
    expect(JSON.stringify(server.hosts).length).toBeGreaterThan(4 * 1024 * 1024);
    const controller = new AbortController();
    const context = {
      service: "orders",
      signal: controller.signal,
      report: (error: unknown) => sizes.push(error),
    };
    const sizes: unknown[] = [];
    for await (const endpoints of nacos({ servers: server.address }).watch(context)) {
      sizes.push(endpoints.length);
      if (sizes.length === 1) server.publish(server.hosts.slice(1));
      else controller.abort();
    }
    expect(sizes).toEqual([20_000, 19_999]);
  });

  it("ends with the last who uses it, and leaves the process free to end", async () => {
    await using server = await ScriptedNacos.start();
    const client = nacos({ servers: server.address });
    const first = new WatchedSet(client, "orders", subject);
    const second = new WatchedSet(client, "users", subject);
    await first.untilExactly([]);
    await second.untilExactly([]);
    expect(server.streams.size).toBe(1);
    await first[Symbol.asyncDispose]();
    expect(server.streams.size).toBe(1);
    await second[Symbol.asyncDispose]();
    await expect.poll(() => server.streams.size).toBe(0);
  });
});
