/** Nacos' own Go client and ours share one Nacos: Go services are seen by us, and ours by them. */
import { expect, it } from "vitest";
import { nacos } from "../../src/discovery/nacos.ts";
import { describeWith } from "./support/describe-with.ts";
import { GoProgram } from "./support/go-program.ts";
import { host, ScriptedNacos } from "./support/scripted-nacos.ts";
import { startNacos } from "./support/servers.ts";
import type { Subject } from "./support/subject.ts";
import { WatchedSet } from "./support/watched-set.ts";

const facts = { hasWeights: true, hasZones: true } as Subject["facts"];
const subject = { facts } as Subject;
const context = { service: "orders", signal: new AbortController().signal, report: () => {} };

type Line = Readonly<Record<string, unknown>>;
const instancesOf = ({ instances }: Line): readonly Line[] => (instances ?? []) as readonly Line[];
const run = (command: string, servers: string, more: readonly string[] = []) =>
  GoProgram.start("nacos-sdk", [command, "-servers", servers, "-service", "orders", ...more]);

describeWith(["rnacos", "nacos-sdk"], "Nacos' own Go client", () => {
  it("is seen by us, and sees us, from coming to going", async () => {
    await using server = await startNacos();
    const client = nacos({ servers: server.address });
    await using set = new WatchedSet(client, "orders", subject);
    const theirs = ["-address", "10.0.0.1:8080", "-weight", "2.5", "-zone", "b"];
    await using registrar = run("register", server.address, theirs);
    await registrar.until("registers", (line) => "registered" in line);
    const first = { address: "10.0.0.1:8080", weight: 2.5, zone: "b" };
    await set.untilExactly([first]);

    await using resolver = run("resolve", server.address);
    await resolver.until("sees its own", (line) => instancesOf(line).length === 1);
    const ours = { service: "orders", address: "https://10.0.0.2:8443", weight: 0.5, zone: "c" };
    const registration = await client.register(
      { ...ours, id: "10.0.0.2:8443:1", version: "2.0", metadata: { cores: 4 } },
      context,
    );
    await set.untilExactly([first, { address: "https://10.0.0.2:8443", weight: 0.5, zone: "c" }]);
    const both = await resolver.until("sees ours, too", (line) => instancesOf(line).length === 2);
    expect(instancesOf(both)[1]).toEqual({
      address: "10.0.0.2:8443",
      weight: 0.5,
      metadata: { cores: "4", zone: "c", version: "2.0", secure: "true" },
    });

    await registration[Symbol.asyncDispose]();
    await resolver.until("sees ours go", (line) => instancesOf(line).length === 1);
    await registrar.end();
    await set.untilExactly([]);
  }, 60_000);
});

describeWith(["nacos-sdk"], "the scripted Nacos", () => {
  // What it shows of our client counts only if it speaks as real servers do; r-nacos never sends a client away.
  it("pushes and resets as Nacos' own Go client understands it", async () => {
    await using first = await ScriptedNacos.start();
    await using second = await ScriptedNacos.start();
    await using resolver = run("resolve", `${first.address},${second.address}`);
    const setups = () => first.sent.filter(({ type }) => type === "ConnectionSetupRequest").length;
    const sees = (number: number) => (line: Line) =>
      instancesOf(line)[0]?.address === `10.0.0.${number}:8080`;
    const begun = () => first.count("SubscribeServiceRequest") + second.count("SubscribeServiceRequest");
    await expect.poll(begun, { timeout: 15_000 }).toBeGreaterThan(0);
    const start = first.streams.size > 0 ? first : second;
    start.publish([host(9)]);
    await resolver.until("follows a push", sees(9));
    for (let reset = 1; reset <= 3; reset++) {
      const [from, before, subscriptions] = [
        first.streams.size > 0 ? first : second,
        setups(),
        first.count("SubscribeServiceRequest"),
      ];
      // It knows servers by their IP alone: the first one that has it.
      const [serverIp, serverPort] = first.address.split(":");
      from.push("ConnectResetRequest", { serverIp, serverPort });
      await expect.poll(setups, { timeout: 15_000 }).toBe(before + 1);
      const subscribed = () => first.count("SubscribeServiceRequest");
      await expect.poll(subscribed, { timeout: 15_000 }).toBeGreaterThan(subscriptions);
      expect(from.sent.map(({ type }) => type)).toContain("ConnectResetResponse");
      first.publish([host(reset)]);
      await resolver.until("follows pushes there", sees(reset));
    }
    expect([first.streams.size, second.streams.size]).toEqual([1, 0]);
  }, 60_000);
});
