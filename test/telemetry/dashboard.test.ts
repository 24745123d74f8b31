/** The Grafana dashboard asks for what `prometheus()` exports, and for nothing else. */
import { readFileSync } from "node:fs";
import { type Metric, Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import { prometheus } from "../../src/telemetry/prometheus.ts";

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
  readonly datasource?: { readonly type: string; readonly uid: string };
  readonly fieldConfig?: {
    readonly defaults: { readonly unit: string };
    readonly overrides: readonly unknown[];
  };
  readonly options?: object;
  readonly targets?: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly legendFormat: string;
    readonly datasource: { readonly uid: string };
  }[];
  readonly panels?: readonly Panel[];
}

interface Variable {
  readonly name: string;
  readonly type: string;
  readonly query: string | { readonly query: string };
}

interface Dashboard {
  readonly title: string;
  readonly uid: string;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
}

const file = new URL("../../docs/grafana/evenkeel.json", import.meta.url);
const dashboard = JSON.parse(readFileSync(file, "utf8")) as Dashboard;
const charts = dashboard.panels.filter(({ type }) => type !== "row");
const targets = charts.flatMap(({ title, targets: own = [] }) => own.map((target) => ({ title, ...target })));

/** The names of series, each with its labels, as a registry has them. */
function exportedSeries(): ReadonlyMap<string, readonly string[]> {
  const register = new Registry();
  using _ = prometheus({ register });
  const series = new Map<string, readonly string[]>();
  for (const metric of register.getMetricsAsArray()) {
    const { name, labelNames, type } = metric as unknown as Metric & {
      readonly name: string;
      readonly labelNames: readonly string[];
      readonly type: string;
    };
    if (type !== "histogram") {
      series.set(name, labelNames);
      continue;
    }
    for (const suffix of ["_sum", "_count"]) series.set(name + suffix, labelNames);
    series.set(`${name}_bucket`, [...labelNames, "le"]);
  }
  return series;
}

/** Each series that an expression asks for, and the labels that it is chosen by. */
function seriesIn(
  expression: string,
): readonly { readonly name: string; readonly labels: readonly string[] }[] {
  return Array.from(
    expression.matchAll(/\b(evenkeel_\w+)(?:\{([^}]*)\})?/g),
    ([, name = "", matchers = ""]) => ({
      name,
      labels: Array.from(matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g), ([, label = ""]) => label),
    }),
  );
}

/** The labels that an expression groups by, and those that its legend shows. */
function groupedLabels(expression: string): readonly string[] {
  return Array.from(expression.matchAll(/\bby \(([^)]*)\)/g), ([, list = ""]) => list.split(/,\s*/)).flat();
}

function legendLabels(legend: string): readonly string[] {
  return Array.from(legend.matchAll(/\{\{(\w+)\}\}/g), ([, label = ""]) => label);
}

describe("the dashboard", () => {
  const exported = exportedSeries();
  /** What Prometheus itself adds to whatever it scrapes. */
  const added = ["job", "instance"];

  it("has a title, an id of its own and a version of the schema", () => {
    expect(dashboard).toMatchObject({ title: "Evenkeel", uid: "evenkeel", schemaVersion: 39 });
  });

  it("has the rows that one looks for", () => {
    const rows = dashboard.panels.filter(({ type }) => type === "row").map(({ title }) => title);
    expect(rows).toEqual([
      "Calls and errors",
      "Latency",
      "Retries and rejects",
      "Nodes by state",
      "In flight per node",
      "Connections",
      "Discovery age",
    ]);
  });

  it("asks for series and labels that are exported", () => {
    expect(targets.length).toBeGreaterThan(15);
    for (const { title, expr } of targets) {
      const asked = seriesIn(expr);
      expect(asked, title).not.toEqual([]);
      for (const { name, labels } of asked) {
        const known = exported.get(name);
        expect(known, `${title}: ${name}`).toBeDefined();
        for (const label of [...labels, ...groupedLabels(expr)]) {
          expect([...(known ?? []), ...added], `${title}: ${name}`).toContain(label);
        }
      }
    }
  });

  it("shows every metric that is exported, a histogram by its buckets", () => {
    const asked = new Set(targets.flatMap(({ expr }) => seriesIn(expr).map(({ name }) => name)));
    const missing = Array.from(exported.keys()).filter((name) => !asked.has(name));
    expect(missing).toEqual([
      "evenkeel_attempt_duration_seconds_sum",
      "evenkeel_attempt_duration_seconds_count",
    ]);
  });

  it("names in its legends what its expressions keep", () => {
    for (const { title, expr, legendFormat } of targets) {
      for (const label of legendLabels(legendFormat)) expect(groupedLabels(expr), title).toContain(label);
    }
  });

  it("takes rates of counters alone", () => {
    for (const { title, expr } of targets) {
      for (const [, name = ""] of expr.matchAll(/\b(?:rate|increase)\((\w+)/g)) {
        expect(name, title).toMatch(/_(?:total|bucket|sum|count)$/);
      }
      for (const { name } of seriesIn(expr)) {
        const isCounted = new RegExp(`\\b(?:rate|increase)\\(${name}\\b`).test(expr);
        expect(isCounted, `${title}: ${name}`).toBe(/_(?:total|bucket)$/.test(name));
      }
    }
  });

  it("lets the data source, the job and the service be chosen", () => {
    const { list } = dashboard.templating;
    expect(list.map(({ name, type }) => [name, type])).toEqual([
      ["datasource", "datasource"],
      ["job", "query"],
      ["upstream", "query"],
    ]);
    for (const { query } of list.slice(1)) {
      const [, name = "", label = ""] =
        /^label_values\((\w+)(?:\{.*\})?, (\w+)\)$/.exec((query as { query: string }).query) ?? [];
      expect([...(exported.get(name) ?? []), ...added]).toContain(label);
    }
    const known = new Set([...list.map(({ name }) => name), "__rate_interval"]);
    for (const { expr } of targets) {
      for (const [, variable = ""] of expr.matchAll(/\$(\w+)/g)) expect(known).toContain(variable);
    }
    for (const { datasource } of [...charts, ...targets])
      expect(datasource?.uid).toMatch(/^\$\{datasource\}$/);
  });

  it("has panels of the shape that Grafana takes, none over another", () => {
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const taken = new Set<string>();
    for (const { title, gridPos, type } of dashboard.panels) {
      expect(["row", "timeseries", "state-timeline"]).toContain(type);
      const { x, y, w, h } = gridPos;
      expect(w >= 1 && h >= 1 && x >= 0 && x + w <= 24, title).toBe(true);
      for (let column = x; column < x + w; column++) {
        for (let line = y; line < y + h; line++) {
          expect(taken, title).not.toContain(`${column} ${line}`);
          taken.add(`${column} ${line}`);
        }
      }
    }
    for (const { title, fieldConfig, options, targets: own } of charts) {
      expect(fieldConfig?.defaults.unit, title).toBeTypeOf("string");
      expect(fieldConfig?.overrides, title).toEqual([]);
      expect(options, title).toHaveProperty("legend");
      expect(options, title).toHaveProperty("tooltip");
      expect(
        own?.map(({ refId }) => refId),
        title,
      ).toEqual(["A", "B", "C"].slice(0, own?.length));
    }
  });
});
