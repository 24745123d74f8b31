/** The 99th percentiles of all scenarios as a picture: a row a scenario, a dot a policy, on a logarithmic scale. */

export interface PlotRow {
  readonly label: string;
  /** By policy, in milliseconds. */
  readonly values: ReadonlyMap<string, number>;
}

/** Okabe and Ito's colours, which those who see few colours can tell apart; each policy has a shape as well. */
const styles: ReadonlyMap<string, { readonly colour: string; readonly shape: Shape }> = new Map([
  ["random", { colour: "#999999", shape: "circle" }],
  ["roundRobin", { colour: "#56b4e9", shape: "square" }],
  ["weightedRoundRobin", { colour: "#0072b2", shape: "diamond" }],
  ["leastRequest", { colour: "#e69f00", shape: "triangle" }],
  ["peakEwma", { colour: "#cc79a7", shape: "cross" }],
  ["leastCost", { colour: "#009e73", shape: "large circle" }],
]);

type Shape = "circle" | "square" | "diamond" | "triangle" | "cross" | "large circle";

const width = 900;
const left = 240;
const right = 30;
const top = 78;
const rowHeight = 56;
/** Within a row each policy has a height of its own, so that equals do not hide each other. */
const laneHeight = 7;
const ticks = [50, 100, 200, 500, 1_000, 2_000];

/** An SVG document. */
export function plot(title: string, rows: readonly PlotRow[]): string {
  const bottom = top + rows.length * rowHeight;
  const height = bottom + 56;
  const least = Math.log(ticks[0] as number);
  const most = Math.log(ticks.at(-1) as number);
  const x = (ms: number): number =>
    left +
    ((Math.min(most, Math.max(least, Math.log(ms))) - least) / (most - least)) * (width - left - right);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="13" role="img" aria-label="${title}">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="${width / 2}" y="24" text-anchor="middle" font-size="16" font-weight="bold" fill="#222222">${title}</text>`,
    legend(),
  ];
  for (const tick of ticks) {
    parts.push(
      `<line x1="${fixed(x(tick))}" y1="${top}" x2="${fixed(x(tick))}" y2="${bottom}" stroke="#dddddd"/>`,
      `<text x="${fixed(x(tick))}" y="${bottom + 20}" text-anchor="middle" fill="#444444">${tick}</text>`,
    );
  }
  parts.push(
    `<line x1="${left}" y1="${bottom}" x2="${width - right}" y2="${bottom}" stroke="#444444"/>`,
    `<text x="${(left + width - right) / 2}" y="${bottom + 42}" text-anchor="middle" fill="#444444">99th percentile, ms (logarithmic; less is better)</text>`,
  );
  for (const [index, { label, values }] of rows.entries()) {
    const y = top + (index + 0.5) * rowHeight;
    parts.push(
      `<text x="${left - 12}" y="${y + 4}" text-anchor="end" fill="#222222">${label}</text>`,
      `<line x1="${left}" y1="${y}" x2="${width - right}" y2="${y}" stroke="#f2f2f2"/>`,
    );
    for (const [lane, [policy, ms]] of Array.from(values).entries()) {
      const height = y + (lane - (values.size - 1) / 2) * laneHeight;
      parts.push(mark(policy, x(ms), height, `${policy}: ${ms.toFixed(0)} ms`));
    }
  }
  return `${[...parts, "</svg>"].join("\n")}\n`;
}

function legend(): string {
  let x = 40;
  return Array.from(styles.keys(), (policy) => {
    const entry = `${mark(policy, x, 52, policy)}<text x="${fixed(x + 12)}" y="56" fill="#222222">${policy}</text>`;
    // A letter takes 8 px at most in the fonts that a browser may take.
    x += 44 + 8 * policy.length;
    return entry;
  }).join("\n");
}

function mark(policy: string, x: number, y: number, title: string): string {
  const { colour, shape } = styles.get(policy) ?? { colour: "#000000", shape: "circle" };
  const at = (dx: number, dy: number): string => `${fixed(x + dx)},${fixed(y + dy)}`;
  const name = `<title>${title}</title>`;
  switch (shape) {
    case "circle":
      return `<circle cx="${fixed(x)}" cy="${y}" r="5" fill="${colour}">${name}</circle>`;
    case "large circle":
      return `<circle cx="${fixed(x)}" cy="${y}" r="6" fill="${colour}" stroke="#222222">${name}</circle>`;
    case "square":
      return `<rect x="${fixed(x - 5)}" y="${y - 5}" width="10" height="10" fill="${colour}">${name}</rect>`;
    case "diamond":
      return `<polygon points="${at(0, -7)} ${at(7, 0)} ${at(0, 7)} ${at(-7, 0)}" fill="none" stroke="${colour}" stroke-width="2">${name}</polygon>`;
    case "triangle":
      return `<polygon points="${at(0, -6)} ${at(6, 5)} ${at(-6, 5)}" fill="${colour}">${name}</polygon>`;
    case "cross":
      return `<path d="M${at(-5, -5)} L${at(5, 5)} M${at(-5, 5)} L${at(5, -5)}" stroke="${colour}" stroke-width="3">${name}</path>`;
  }
}

function fixed(value: number): string {
  return value.toFixed(1);
}
