/** `evenkeel/testing`: what tests of programs, policies and discovery sources need. The root reaches none of it. */

export { createSeededRandom, type Random } from "../core/random.ts";
export {
  type Backend,
  type BackendBehaviour,
  type BackendPlace,
  type BackendProtocol,
  type BackendStats,
  type BackendTls,
  startBackend,
  startBackends,
} from "./backend.ts";
export {
  type ContractTest,
  type DiscoveryContractOptions,
  type DiscoveryControls,
  discoveryContract,
} from "./discovery-contract.ts";
export type { Direction, Fault } from "./fault-proxy/fault.ts";
export { FaultProxy, type FaultProxyOptions, startFaultProxy } from "./fault-proxy.ts";
export { ManualClock } from "./manual-clock.ts";
export { MemoryRegistry } from "./memory-registry.ts";
export { type PolicyCheck, type PolicyContractOptions, policyContract } from "./policy-contract.ts";
export { createTestBalancer, TestBalancer, type TestBalancerOptions } from "./test-balancer.ts";
export type { Respond, TestAnswer, TestRequest } from "./test-node.ts";
