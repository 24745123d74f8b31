/** `agent.install()`: what was there before comes back, in whatever order installs are undone. */
import {
  Agent,
  type Dispatcher,
  Dispatcher1Wrapper,
  getGlobalDispatcher,
  setGlobalDispatcher,
  fetch as undiciFetch,
} from "undici";
import { afterEach, expect, test } from "vitest";
import { BalancerAgent } from "../../src/index.ts";
import { startServer } from "../http/support/server.ts";

const former = Symbol.for("undici.globalDispatcher.1");
const globals = globalThis as unknown as Record<symbol, unknown>;
const original = getGlobalDispatcher();
const originalFormer = globals[former];

const expectOriginal = (): void => {
  expect(getGlobalDispatcher()).toBe(original);
  expect(globals[former]).toBe(originalFormer);
};

afterEach(() => {
  setGlobalDispatcher(original);
  globals[former] = originalFormer;
});

test("puts back exactly what was there, and only once", async () => {
  await using agent = new BalancerAgent();
  const uninstall = agent.install();
  expect(getGlobalDispatcher()).toBe(agent);
  expect(globals[former]).toBeInstanceOf(Dispatcher1Wrapper);
  uninstall();
  expectOriginal();
  const own = new Agent();
  setGlobalDispatcher(own);
  uninstall();
  expect(getGlobalDispatcher()).toBe(own);
});

test("serves undici's fetch and the built-in one while it is installed", async () => {
  await using server = await startServer();
  await using agent = new BalancerAgent({ services: { orders: { discovery: [server.address] } } });
  const uninstall = agent.install();
  expect(await (await undiciFetch("http://orders/")).text()).toBe("ok");
  expect(await (await fetch("http://orders/")).text()).toBe("ok");
  expect(await (await fetch(server.address)).text()).toBe("ok");
  uninstall();
  expect(server.arrivals).toHaveLength(3);
  expect(agent.balancer("orders").nodes[0]?.calls).toBe(2);
});

test.each([
  ["the later one first", [1, 0]],
  ["the earlier one first", [0, 1]],
])("two agents, undone %s", async (_, order) => {
  await using one = new BalancerAgent();
  await using two = new BalancerAgent();
  const agents = [one, two];
  const uninstalls = agents.map((agent) => agent.install());
  expect(getGlobalDispatcher()).toBe(two);
  uninstalls[order[0] as number]?.();
  // The one that is left, and never one that was undone.
  expect(getGlobalDispatcher()).toBe(agents[order[1] as number]);
  uninstalls[order[1] as number]?.();
  expectOriginal();
});

test("three installs of one agent are three installs", async () => {
  await using agent = new BalancerAgent();
  const uninstalls = [agent.install(), agent.install(), agent.install()];
  for (const index of [1, 0]) {
    uninstalls[index]?.();
    uninstalls[index]?.();
    expect(getGlobalDispatcher()).toBe(agent);
  }
  uninstalls[2]?.();
  expectOriginal();
});

test("leaves alone what someone else has installed later", async () => {
  await using agent = new BalancerAgent();
  const own = new Agent();
  const uninstall = agent.install();
  setGlobalDispatcher(own);
  const ownFormer = globals[former];
  uninstall();
  expect(getGlobalDispatcher()).toBe(own);
  expect(globals[former]).toBe(ownFormer);
  // A later install over that comes off as it went on.
  const again = agent.install();
  again();
  expect(getGlobalDispatcher()).toBe(own);
  expect(globals[former]).toBe(ownFormer);
});

test("leaves alone what an older undici has put into its own place", async () => {
  await using agent = new BalancerAgent();
  const uninstall = agent.install();
  const older = { dispatch: () => true };
  globals[former] = older;
  uninstall();
  expect(getGlobalDispatcher()).toBe(original);
  expect(globals[former]).toBe(older);
});

test.each<[string, (agent: BalancerAgent) => Promise<void>]>([
  ["closing", (agent) => agent.close()],
  ["destroying", (agent) => agent.destroy()],
])("%s the agent undoes its installs", async (_, end) => {
  await using other = new BalancerAgent();
  const agent = new BalancerAgent();
  agent.install();
  const uninstallOther = other.install();
  agent.install();
  const ended = end(agent);
  expect(getGlobalDispatcher()).toBe(other);
  await ended;
  uninstallOther();
  expectOriginal();
  expect(() => agent.install()).toThrow(expect.objectContaining({ code: "ERR_CLOSED" }));
});

test("installs what it was composed to", async () => {
  await using server = await startServer();
  await using agent = new BalancerAgent({ services: { orders: { discovery: [server.address] } } });
  const tag: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) =>
    dispatch({ ...options, headers: { "x-tag": "1" } }, handler);
  const composed = agent.compose(tag) as unknown as BalancerAgent;
  const uninstall = composed.install();
  await (await undiciFetch("http://orders/")).text();
  await (await fetch("http://orders/")).text();
  expect(server.arrivals.map(({ headers }) => headers["x-tag"])).toEqual(["1", "1"]);
  uninstall();
  expectOriginal();
});
