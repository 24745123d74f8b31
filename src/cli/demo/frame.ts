/** What the live view shows at one moment, as lines. */
import type { NodeState, NodeView } from "../../index.ts";
import type { Lane } from "./lane.ts";
import { phases } from "./phases.ts";
import type { Rates } from "./rates.ts";
import type { Run } from "./run.ts";
import type { Colour, Paint } from "./screen.ts";
import type { ServiceNode } from "./service.ts";
import { bar, progressBar } from "./sparkline.ts";
import { columns, integer, milliseconds, percent } from "./table.ts";
import type { Tally } from "./tally.ts";

/** Half-second bars that fit beside the counters on 100 columns. */
const barsShown = 30;

const stateColours: Readonly<Record<NodeState, Colour>> = {
  ready: "green",
  warming: "green",
  probing: "yellow",
  suspect: "yellow",
  draining: "yellow",
  ejected: "red",
  down: "red",
};

export function frameOf(
  run: Run,
  rates: ReadonlyMap<Lane, Rates>,
  now: number,
  paint: Paint,
): readonly string[] {
  const { phase, expectedMs, evenkeel } = run;
  const elapsedMs = Math.min(now - run.startedAt, expectedMs);
  const number = phases.indexOf(phase) + 1;
  const seconds = (ms: number): string => String(Math.round(ms / 1_000));
  return [
    `${paint("bold", "evenkeel demo")}  ${progressBar(elapsedMs / expectedMs, 30)}  ${seconds(elapsedMs)} of ${seconds(expectedMs)} s`,
    "",
    paint("bold", `Phase ${number} of ${phases.length}: ${phase.title}`),
    run.story,
    "",
    ...laneLines(run, paint),
    "",
    ...nodeLines(run, rates, paint),
    "",
    evenkeel.lastFailure === "" ? "" : paint("red", `Failed: ${evenkeel.lastFailure}`),
    paint("dim", "Ctrl-C ends it, and leaves no process behind."),
  ];
}

function laneLines({ lanes, phase }: Run, paint: Paint): readonly string[] {
  const rows = lanes.map((lane) => {
    const tally = lane.tallies.at(-1) as Tally;
    const { p50Ms, p99Ms } = tally.latency;
    const toBad = phase.bad.length === 0 ? "-" : percent(tally.shareOf(addressesOf(lane, phase.bad)));
    const failed = integer(lane.failed);
    return [
      lane.client.name,
      integer(lane.calls),
      lane.failed === 0 ? paint("green", failed) : paint("red", failed),
      milliseconds(p50Ms),
      milliseconds(p99Ms),
      toBad,
      lane.slots
        .slice(-barsShown)
        .map(({ worstMs, failed }) => (failed > 0 ? paint("red", bar(worstMs)) : bar(worstMs)))
        .join(""),
    ];
  });
  const head = ["", "calls", "failed", "p50 now", "p99 now", "to bad nodes", "slowest of each half second"];
  return columns([head.map((cell) => paint("dim", cell)), ...rows], "lrrrrrl");
}

function nodeLines(
  { evenkeel, balancedPool }: Run,
  rates: ReadonlyMap<Lane, Rates>,
  paint: Paint,
): readonly string[] {
  const views = new Map(evenkeel.client.views.map((view) => [view.address, view]));
  const own = rates.get(evenkeel);
  const total = evenkeel.service.addresses.reduce((sum, address) => sum + (own?.perSecond(address) ?? 0), 0);
  const rows = evenkeel.service.nodes.map((node) => {
    const { address } = node.backend;
    const perSecond = own?.perSecond(address) ?? 0;
    const cells = [
      ...nodeCells(node, views.get(address), paint),
      integer(perSecond),
      percent(total === 0 ? 0 : perSecond / total),
    ];
    if (balancedPool === undefined) return cells;
    const twin = balancedPool.service.nodes.find(({ number }) => number === node.number);
    const twinRate = twin === undefined ? 0 : (rates.get(balancedPool)?.perSecond(twin.backend.address) ?? 0);
    return [...cells, integer(twinRate)];
  });
  const head = ["node", "address", "pid", "trouble", "state", "in flight", "latency", "calls/s", "share"];
  if (balancedPool !== undefined) head.push(`${balancedPool.client.name}'s calls/s`);
  return columns([head.map((cell) => paint("dim", cell)), ...rows], "rlrllrrrrr".slice(0, head.length));
}

function nodeCells(node: ServiceNode, view: NodeView | undefined, paint: Paint): readonly string[] {
  return [
    String(node.number),
    node.backend.address.replace("http://", ""),
    String(node.backend.pid),
    node.trouble === "" ? "-" : paint("yellow", node.trouble),
    view === undefined ? "unknown" : paint(stateColours[view.state], view.state),
    view === undefined ? "-" : integer(view.inflight),
    view === undefined ? "-" : milliseconds(view.latencyMs),
  ];
}

function addressesOf(lane: Lane, numbers: readonly number[]): readonly string[] {
  return lane.service.nodes
    .filter(({ number }) => numbers.includes(number))
    .map(({ backend }) => backend.address);
}
