/** Drops packets of this process's own network, for programs that `runChild` gives one. */
import { execFile } from "node:child_process";
import { readlinkSync } from "node:fs";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The network of the machine's first process. */
function isSharedNetwork(): boolean {
  try {
    return readlinkSync("/proc/self/ns/net") === readlinkSync("/proc/1/ns/net");
  } catch {
    // Only root may look at process 1; whoever is root in a namespace of his own alone is in one.
    return false;
  }
}

/**
 * @throws Error when this is the machine's own network, which no test may touch, and when iptables is missing or
 *   refuses.
 */
async function iptables(...parameters: readonly string[]): Promise<string> {
  if (isSharedNetwork()) throw new Error("the packet filter is for programs with a network of their own");
  try {
    return (await run("iptables", ["--wait", ...parameters])).stdout;
  } catch (error) {
    throw new Error(
      "iptables failed; is Debian's package of that name installed, and the right to use it there?",
      {
        cause: error,
      },
    );
  }
}

export class PacketFilter {
  readonly #rule: readonly string[];

  private constructor(rule: readonly string[]) {
    this.#rule = rule;
  }

  /** What would open a connection to the port vanishes; connections that are open go on. */
  static dropSyns(port: number): Promise<PacketFilter> {
    return PacketFilter.#drop(["--protocol", "tcp", "--syn", "--dport", String(port)]);
  }

  /** Whatever goes to the port or comes from it vanishes, of open connections as well. */
  static dropPort(port: number): Promise<PacketFilter> {
    return PacketFilter.#drop(["--protocol", "tcp", "--match", "multiport", "--ports", String(port)]);
  }

  /** Every TCP packet vanishes. */
  static dropAll(): Promise<PacketFilter> {
    return PacketFilter.#drop(["--protocol", "tcp"]);
  }

  /** Every TCP packet is answered by "there is no way to that network" (ENETUNREACH), as a router does. */
  static refuseAll(): Promise<PacketFilter> {
    return PacketFilter.#add(["--protocol", "tcp"], ["REJECT", "--reject-with", "icmp-net-unreachable"]);
  }

  static #drop(matching: readonly string[]): Promise<PacketFilter> {
    return PacketFilter.#add(matching, ["DROP"]);
  }

  static async #add(matching: readonly string[], what: readonly string[]): Promise<PacketFilter> {
    const rule = ["INPUT", ...matching, "--jump", ...what];
    await iptables("--append", ...rule);
    return new PacketFilter(rule);
  }

  /** Lets them pass again, and says how many did not. */
  async lift(): Promise<number> {
    const listed = await iptables("--list", "INPUT", "--verbose", "--exact", "--numeric");
    await iptables("--delete", ...this.#rule);
    const [, packets] = /^\s*(\d+)\s.*\b(?:DROP|REJECT)\b/m.exec(listed) ?? [];
    return Number(packets);
  }
}
