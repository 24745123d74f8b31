/**
 * A Balancer without sockets: a function answers each attempt in place of the nodes.
 *
 * Selection, retries, ejection and deadlines are the real ones; only what is below them is made up. With a
 * `ManualClock` a test of a minute takes a millisecond.
 *
 * @example
 * const orders = createTestBalancer({
 *   respond: ({ node }) => (node === "http://10.0.0.1:8080" ? { status: 503 } : { body: "fine" }),
 * });
 * await orders.fetch("/v1/orders");
 * console.log(orders.calls.map(({ node, attempt }) => `${attempt}: ${node}`));
 */
import type { Dispatcher } from "undici";
import type { CallRules } from "../cluster/call-rules.ts";
import type { ConnectionOptions } from "../cluster/connection-options.ts";
import type { Discovery } from "../core/contracts.ts";
import type { Endpoint } from "../core/endpoint.ts";
import { OptionReader } from "../core/option-reader.ts";
import { createSeededRandom } from "../core/random.ts";
import { Balancer, type BalancerOptions } from "../http/balancer.ts";
import { type Respond, TestNode, TestNodes, type TestRequest } from "./test-node.ts";
import { rememberingBody } from "./test-request.ts";

export interface TestBalancerOptions extends Omit<BalancerOptions, "name" | "discovery" | "connections"> {
  /**
   * Answers an attempt: with a status, headers, a body and a delay on the balancer's clock; with an Error for an
   * attempt that fails without an answer, told apart by its `code` as Node's are (`ECONNREFUSED`: no connection,
   * nothing was sent; `ECONNRESET`: it broke). What it throws is a mistake of the test: the call fails with it, and
   * is not tried again.
   */
  readonly respond: Respond;
  /** Default `test`. */
  readonly name?: string | undefined;
  /**
   * The service's nodes, or a source: a `list()` that the test changes. Default: `http://10.0.0.1:8080` and two more.
   */
  readonly nodes?: Discovery | readonly (Endpoint | string)[] | undefined;
  readonly connections?: Omit<ConnectionOptions, "factory"> | undefined;
}

const threeNodes = [1, 2, 3].map((host) => `http://10.0.0.${host}:8080`);

/** Made by `createTestBalancer()`. */
export class TestBalancer extends Balancer {
  /** Each attempt that reached a node or would have, in order; those that found no connection included. */
  readonly calls: readonly TestRequest[];

  /** See `createTestBalancer`. */
  constructor(options: TestBalancerOptions) {
    const { respond, nodes = threeNodes, name = "test", connections, ...others } = options;
    if (new OptionReader({ respond }, "").function("respond") === undefined) {
      throw new TypeError("respond must be given: a function that answers in place of the nodes");
    }
    const made = new TestNodes(respond);
    super({
      random: createSeededRandom(1),
      ...others,
      name,
      discovery: nodes,
      connections: { ...connections, factory: () => new TestNode(made) },
    });
    this.calls = made.requests;
    made.attach(this.cluster);
  }

  /** @internal */
  override dispatchBy(
    rules: CallRules,
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
  ): boolean {
    return super.dispatchBy(rules, rememberingBody(options), handler);
  }
}

/**
 * A Balancer whose nodes are one function. All options of `Balancer` hold; `discovery` is called `nodes`, and
 * `random` is seeded unless it is given. (A policy that is given draws from its own `random`.)
 *
 * @throws TypeError or RangeError that names the option and the value it got.
 */
export function createTestBalancer(options: TestBalancerOptions): TestBalancer {
  return new TestBalancer(options);
}
