/** Which of Evenkeel's channels somebody listens to. */
import diagnosticsChannel from "node:diagnostics_channel";

const names = [
  "call:start",
  "call:end",
  "attempt:start",
  "attempt:end",
  "node:state",
  "discovery:update",
  "discovery:error",
  "retry",
  "reject",
  "collect",
];

export function listenedChannels(): readonly string[] {
  return names.filter((name) => diagnosticsChannel.hasSubscribers(`evenkeel:${name}`));
}
