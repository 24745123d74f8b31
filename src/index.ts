/** The public root of Evenkeel: named exports only, and nothing that needs an optional peer. */

export type { AdmissionView } from "./cluster/admission.ts";
export type { WithOptions } from "./cluster/call-rules.ts";
export { Cluster } from "./cluster/cluster.ts";
export type { ClusterView } from "./cluster/cluster-view.ts";
export type { ConnectionOptions } from "./cluster/connection-options.ts";
export type { ExplainedCall, Explanation } from "./cluster/explain.ts";
export type { FailedCall, Fallback, FallbackResponse } from "./cluster/fallback-options.ts";
export type { CallOptions, NodeAttempt } from "./cluster/function-call.ts";
export type { EjectionOptions, HealthOptions } from "./cluster/health-options.ts";
export type {
  AdaptiveLimitOptions,
  BreakerOptions,
  BreakerRateOptions,
  HedgeOptions,
  LimitOptions,
} from "./cluster/limit-options.ts";
export type * from "./cluster/options.ts";
export type { TlsOptions } from "./cluster/tls-options.ts";
export type { Clock, Timer } from "./core/clock.ts";
export type {
  CallInfo,
  CallPriority,
  Discovery,
  DiscoveryContext,
  Instance,
  Picker,
  Policy,
  Registry,
} from "./core/contracts.ts";
export type { Endpoint } from "./core/endpoint.ts";
export { BalancerError, type BalancerErrorCode } from "./core/errors.ts";
export type * from "./core/events.ts";
export type { CheckResult, CheckTarget, HealthCheck } from "./core/health-check.ts";
export type { Node } from "./core/node.ts";
export type {
  Collection,
  ConnectionCounts,
  DiscoveryState,
  ServiceObservation,
} from "./core/observation.ts";
export type { Outcome } from "./core/outcome.ts";
export type { Random } from "./core/random.ts";
export type { Summary } from "./core/summary.ts";
export type { NodeState, NodeView } from "./core/view.ts";
export { type FallbackOptions, fallback } from "./discovery/fallback.ts";
export { file } from "./discovery/file.ts";
export { type ListDiscovery, list } from "./discovery/list.ts";
export { type MergeOptions, merge } from "./discovery/merge.ts";
export type { PollOptions } from "./health/check-options.ts";
export { type HttpCheckOptions, httpCheck } from "./health/http-check.ts";
export { type TcpCheckOptions, tcpCheck } from "./health/tcp-check.ts";
export { BalancerAgent, type BalancerAgentOptions } from "./http/agent.ts";
export { Balancer, type BalancerOptions } from "./http/balancer.ts";
export type { ServiceOptions } from "./http/service-options.ts";
export type { BalancerView } from "./http/view.ts";
export { leastCost } from "./policy/least-cost.ts";
export { leastRequest } from "./policy/least-request.ts";
export { type MaglevOptions, maglev } from "./policy/maglev.ts";
export { type PeakEwmaOptions, peakEwma } from "./policy/peak-ewma.ts";
export { random } from "./policy/random.ts";
export { type RingHashOptions, ringHash } from "./policy/ring-hash.ts";
export { roundRobin } from "./policy/round-robin.ts";
export type { ShadowReport } from "./policy/shadow.ts";
export { type SubsetOptions, subset } from "./policy/subset.ts";
export { weightedRoundRobin } from "./policy/weighted-round-robin.ts";
export { remainingMs, withDeadline } from "./resilience/call-context.ts";
export type { SharedLimiter } from "./resilience/shared-rate.ts";
