/** Instances of Go services are seen by us, and ours by Go services, in the formats of etcd itself, Kratos and Kitex. */
import { expect, it } from "vitest";
import type { Instance } from "../../src/core/contracts.ts";
import { type EtcdOptions, etcd } from "../../src/discovery/etcd.ts";
import { etcdSubject } from "./subjects/etcd.ts";
import { describeEtcd } from "./support/describe-etcd.ts";
import { GoProgram } from "./support/go-program.ts";
import { startEtcd } from "./support/servers.ts";
import { WatchedSet } from "./support/watched-set.ts";

interface Framework {
  readonly program: string;
  readonly format: NonNullable<EtcdOptions["format"]>;
  /** What the Go program registers, and what we are to see of it. */
  readonly theirs: readonly string[];
  readonly seen: { readonly address: string; readonly weight: number };
  /** What the Go program says it sees of an instance of ours at 10.0.0.2:8080 with weight 20. */
  readonly ours: object;
}

const frameworks: readonly Framework[] = [
  {
    program: "etcd-naming",
    format: "etcd",
    theirs: ["-address", "10.0.0.1:8080", "-weight", "3"],
    seen: { address: "10.0.0.1:8080", weight: 3 },
    ours: { address: "10.0.0.2:8080", weight: 20 },
  },
  {
    program: "kratos-registry",
    format: "kratos",
    theirs: ["-id", "one", "-address", "grpc://10.0.0.1:9000,http://10.0.0.1:8080", "-weight", "3"],
    seen: { address: "10.0.0.1:8080", weight: 3 },
    ours: {
      id: "10.0.0.2:8080:1",
      name: "orders",
      version: "2.0",
      metadata: { weight: "20" },
      endpoints: ["http://10.0.0.2:8080"],
    },
  },
  {
    program: "kitex-registry",
    format: "kitex",
    theirs: ["-address", "10.0.0.1:8080", "-weight", "3"],
    seen: { address: "10.0.0.1:8080", weight: 3 },
    ours: { address: "10.0.0.2:8080", weight: 20 },
  },
];

const instance: Instance = {
  service: "orders",
  id: "10.0.0.2:8080:1",
  address: "http://10.0.0.2:8080",
  weight: 20,
  version: "2.0",
};
/** No format has a place for a zone that nobody gave. */
const subject = { ...etcdSubject, facts: { ...etcdSubject.facts, hasZones: false } };

for (const { program, format, theirs, seen, ours } of frameworks) {
  describeEtcd(
    `Go's ${program}`,
    (binary) => {
      it("is seen by us, and sees us, from coming to going", async () => {
        await using server = await startEtcd({ binary });
        const client = etcd({ endpoints: server.address, format });
        await using orders = new WatchedSet(client, "orders", subject);
        const place = ["-endpoints", server.address, "-service", "orders"];
        await using resolver = GoProgram.start(program, ["resolve", ...place]);

        await using registrar = GoProgram.start(program, ["register", ...place, ...theirs]);
        await registrar.until("registers", (line) => "registered" in line);
        await orders.untilExactly([seen]);
        await resolver.until("sees its own", (line) => instancesOf(line).length === 1);

        const context = { service: "orders", signal: new AbortController().signal, report: () => {} };
        const registration = await client.register(instance, context);
        await orders.untilExactly([seen, { address: "10.0.0.2:8080", weight: 20 }]);
        const both = await resolver.until("sees ours, too", (line) => instancesOf(line).length === 2);
        expect(instancesOf(both)).toContainEqual(ours);

        await registrar.end();
        await orders.untilExactly([{ address: "10.0.0.2:8080", weight: 20 }]);
        const alone = await resolver.until("sees only ours", (line) => instancesOf(line).length === 1);
        expect(instancesOf(alone)).toEqual([ours]);

        await registration[Symbol.asyncDispose]();
        await orders.untilExactly([]);
        await resolver.until("sees none", (line) => instancesOf(line).length === 0);
        expect(orders.errors).toEqual([]);
      });
    },
    { needs: [program] },
  );
}

function instancesOf(line: Readonly<Record<string, unknown>>): readonly object[] {
  return (line.instances ?? []) as readonly object[];
}
