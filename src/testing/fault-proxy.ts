/**
 * A TCP proxy in the test's own process that makes the network bad on demand: in front of a node, whatever it speaks.
 *
 * Faults may be changed while connections are open. What a proxy cannot do: delay or lose the packets of a handshake,
 * since the kernel accepts connections by itself (`blackhole` and `refuse` are the exceptions), or lose single
 * packets, as TCP would send them again.
 *
 * @example
 * await using proxy = await startFaultProxy({ target: "http://127.0.0.1:8080" });
 * await using orders = new Balancer({ name: "orders", discovery: [proxy.address] });
 * await proxy.set({ kind: "truncate", afterBytes: 100 });
 */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { type Address, parseAddress } from "../core/address.ts";
import { OptionReader } from "../core/option-reader.ts";
import type { Random } from "../core/random.ts";
import { Connection } from "./fault-proxy/connection.ts";
import { DeafPort } from "./fault-proxy/deaf-port.ts";
import { type Fault, noFault, type ResolvedFault, readFault } from "./fault-proxy/fault.ts";

export interface FaultProxyOptions {
  /** Where what comes is passed on to: `http://host:port`, `https://host:port`, `host:port`, `unix:/path`. */
  readonly target: string;
  /** The source of jitter. Default `Math.random`. */
  readonly random?: Random | undefined;
}

const host = "127.0.0.1";

/** Made by `startFaultProxy()`. */
export class FaultProxy implements AsyncDisposable {
  /** In place of the target's address, with its scheme: `http://127.0.0.1:port`. */
  readonly address: string;
  readonly port: number;
  readonly #target: Address;
  readonly #random: Random;
  readonly #server: Server;
  readonly #connections: Set<Connection> = new Set();
  readonly #open: Set<Connection> = new Set();
  #fault: ResolvedFault = noFault;
  #accepted = 0;
  #requestBytes = 0;
  #responseBytes = 0;
  #deaf: DeafPort | undefined = undefined;
  /** Changes of the fault, one after the other. */
  #change: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(target: Address, random: Random, server: Server) {
    this.#target = target;
    this.#random = random;
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    this.address = `${target.scheme === "https" ? "https" : "http"}://${host}:${this.port}`;
    server.on("connection", (socket) => this.#accept(socket));
  }

  /** @internal Use `startFaultProxy`. */
  static async start(options: FaultProxyOptions): Promise<FaultProxy> {
    const reader = new OptionReader(options, "");
    const target = reader.string("target");
    if (target === undefined)
      throw new TypeError("target must be given: the address of what is behind the proxy");
    const random = reader.function<Random>("random") ?? Math.random;
    reader.end();
    const address = parseAddress(target);
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    await listen(server, 0);
    return new FaultProxy(address, random, server);
  }

  /** The present fault, its defaults filled in. */
  get fault(): Fault {
    return this.#fault;
  }

  /** Connections that clients have open now. */
  get connections(): number {
    return this.#open.size;
  }

  /** Connections accepted since the start. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Bytes passed on since the start, each way. */
  get bytes(): { readonly request: number; readonly response: number } {
    return { request: this.#requestBytes, response: this.#responseBytes };
  }

  /**
   * Replaces the fault; counts of `afterBytes` begin anew on each connection. Resolves when it is in force, which
   * for all but `refuse` and `blackhole`, and what follows them, is at once.
   *
   * @throws TypeError or RangeError that names what is wrong with the fault.
   */
  async set(fault: Fault): Promise<void> {
    const resolved = readFault(fault);
    const ready = this.#change.then(() => this.#apply(resolved));
    // A fault that could not be set must not keep the next one from being set.
    this.#change = ready.catch(() => {});
    await ready;
  }

  /** No fault any more: `set({ kind: "none" })`. */
  async reset(): Promise<void> {
    await this.set(noFault);
  }

  /** Ends all connections and frees the port. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#change;
    stopListening(this.#server);
    const closed = Array.from(this.#connections, (connection) => connection.closed);
    for (const connection of this.#connections) connection.destroy();
    await Promise.all(closed);
    await this.#deaf?.close();
    this.#deaf = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #apply(fault: ResolvedFault): Promise<void> {
    if (this.#closed) throw new Error(`the fault proxy ${this.address} is closed`);
    this.#fault = fault;
    for (const connection of this.#connections) connection.setFault(fault);
    if (fault.kind === "blackhole") {
      if (this.#deaf !== undefined) return;
      // Before the port is given up, so that for as short as can be nobody listens there.
      const deaf = await DeafPort.prepare();
      stopListening(this.#server);
      this.#deaf = deaf;
      await deaf.listen(host, this.port);
      return;
    }
    await this.#deaf?.close();
    this.#deaf = undefined;
    if (fault.kind === "refuse") stopListening(this.#server);
    else if (!this.#server.listening) await listen(this.#server, this.port);
  }

  #accept(socket: Socket): void {
    this.#accepted++;
    const connection = new Connection(socket, {
      target: this.#target,
      random: this.#random,
      passed: (direction, bytes) => {
        if (direction === "request") this.#requestBytes += bytes;
        else this.#responseBytes += bytes;
      },
    });
    this.#connections.add(connection);
    this.#open.add(connection);
    void connection.clientClosed.then(() => this.#open.delete(connection));
    void connection.closed.then(() => this.#connections.delete(connection));
    connection.setFault(this.#fault);
  }
}

/**
 * Starts a proxy at a port of its own of 127.0.0.1, without a fault. It lives in this process and ends with it.
 *
 * @throws TypeError or RangeError that names the option and the value it got.
 */
export function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  return FaultProxy.start(options);
}

async function listen(server: Server, port: number): Promise<void> {
  server.listen({ host, port });
  await once(server, "listening");
}

/** The port is free at once; the connections go on, and "close" would wait for them. */
function stopListening(server: Server): void {
  if (server.listening) server.close();
}
