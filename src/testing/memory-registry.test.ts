/** Tests of the registry inside the process. */
import { expect, it } from "vitest";
import { discoveryContract } from "./discovery-contract.ts";
import { MemoryRegistry } from "./memory-registry.ts";

const context = () => ({ service: "orders", signal: new AbortController().signal, report: () => {} });

it("takes out what was announced under an id, once, and nothing of a successor at the same address", async () => {
  const registry = new MemoryRegistry();
  const instance = { service: "orders", address: "http://a" };
  const old = await registry.register({ ...instance, id: "old" }, context());
  await registry.register({ ...instance, id: "new" }, context());
  await old[Symbol.asyncDispose]();
  await old[Symbol.asyncDispose]();
  expect(registry.instances("orders").map(({ id }) => id)).toEqual(["new"]);
  expect(registry.instances("users")).toEqual([]);
  const signal = AbortSignal.abort(new Error("given up"));
  await expect(registry.register({ ...instance, id: "late" }, { ...context(), signal })).rejects.toThrow(
    "given up",
  );
});

const contract = discoveryContract(async () => {
  const registry = new MemoryRegistry();
  let handles: AsyncDisposable[] = [];
  return {
    discovery: registry,
    publish: async (endpoints) => {
      const before = handles;
      handles = [];
      for (const [index, endpoint] of endpoints.entries()) {
        const instance = { ...endpoint, service: "orders", id: `${index}:${Math.random()}` };
        handles.push(await registry.register(instance, context()));
      }
      for (const handle of before) await handle[Symbol.asyncDispose]();
    },
    dispose: async () => {},
  };
});
for (const { name, run } of contract) it(name, run);
