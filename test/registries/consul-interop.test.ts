/** Kratos' Consul registry and ours share one Consul: Go services are seen by us, and ours by them. */
import { expect, it } from "vitest";
import type { Instance } from "../../src/core/contracts.ts";
import { type ConsulOptions, consul } from "../../src/discovery/consul.ts";
import { consulSubject } from "./subjects/consul.ts";
import { describeWith } from "./support/describe-with.ts";
import { GoProgram } from "./support/go-program.ts";
import { type ConsulServer, startConsul } from "./support/servers.ts";
import { WatchedSet } from "./support/watched-set.ts";

/** Kratos' instances have no zone. */
const subject = { ...consulSubject, facts: { ...consulSubject.facts, hasZones: false } };
const instance: Instance = {
  service: "orders",
  id: "10.0.0.2:8080:1",
  address: "http://10.0.0.2:8080",
  weight: 20,
  version: "2.0",
};
const theirs = ["-id", "one", "-address", "http://10.0.0.1:8080,grpc://10.0.0.1:9000"];

type Line = Readonly<Record<string, unknown>>;
const instancesOf = ({ instances }: Line): readonly object[] => (instances ?? []) as readonly object[];

function createScene(server: ConsulServer) {
  const place = ["-consul", server.address, "-service", "orders"];
  const context = { service: "orders", signal: new AbortController().signal, report: () => {} };
  return {
    context,
    run: (command: string, more: readonly string[] = []) =>
      GoProgram.start("kratos-registry", [command, ...place, ...more]),
    client: (options: ConsulOptions = {}) => consul({ address: server.url, format: "kratos", ...options }),
  };
}

describeWith(["consul", "kratos-registry"], "Kratos' Consul registry", () => {
  it("is seen by us, and sees us, from coming to going", async () => {
    await using server = await startConsul();
    const { run, client, context } = createScene(server);
    await using http = new WatchedSet(client(), "orders", subject);
    await using grpc = new WatchedSet(client({ protocol: "grpc" }), "orders", subject);
    await using registrar = run("register", [...theirs, "-weight", "3"]);
    await registrar.until("registers", (line) => "registered" in line);
    // It sends its first heartbeat after a second, and is critical until then.
    await http.untilExactly([{ address: "10.0.0.1:8080", weight: 3 }]);
    await grpc.untilExactly([{ address: "10.0.0.1:9000", weight: 3 }]);

    await using resolver = run("resolve");
    await resolver.until("sees its own", (line) => instancesOf(line).length === 1);
    const registration = await client().register(instance, context);
    await http.untilExactly([
      { address: "10.0.0.1:8080", weight: 3 },
      { address: "10.0.0.2:8080", weight: 20 },
    ]);
    const both = await resolver.until("sees ours, too", (line) => instancesOf(line).length === 2);
    expect(instancesOf(both)[0]).toEqual({
      id: "10.0.0.2:8080:1",
      name: "orders",
      version: "2.0",
      metadata: { weight: "20" },
      endpoints: ["http://10.0.0.2:8080"],
    });

    await registration[Symbol.asyncDispose]();
    await resolver.until("sees ours go", (line) => instancesOf(line).length === 1);
    await registrar.end();
    await http.untilExactly([]);
  });

  it("gives an instance without a weight the same weight as Kratos does", async () => {
    await using server = await startConsul();
    const { run, client } = createScene(server);
    await using registrar = run("register", theirs);
    await registrar.until("registers", (line) => "registered" in line);
    await using set = new WatchedSet(client(), "orders", subject);
    await set.untilExactly([{ address: "10.0.0.1:8080", weight: 100 }]);
  });

  it("is refused by name where it has no endpoint of the protocol", async () => {
    await using server = await startConsul();
    const { run, client } = createScene(server);
    await using registrar = run("register", ["-id", "one", "-address", "grpc://10.0.0.1:9000"]);
    await registrar.until("registers", (line) => "registered" in line);
    await using set = new WatchedSet(client(), "orders", subject);
    await set.untilError(0);
    expect(String(set.errors[0])).toContain("grpc://10.0.0.1:9000");
  });
});
