/** Reads Prometheus' text format (version 0.0.4), as far as prom-client writes it. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** @throws Error for a line that is none. */
export function parseText(text: string): readonly Sample[] {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line) => {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    const [, name, labels = "", value] = match ?? [];
    if (name === undefined) throw new Error(`no sample: ${line}`);
    const pairs = Array.from(labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)",?/g), (pair) => [pair[1], pair[2]]);
    return { name, labels: Object.fromEntries(pairs), value: Number(value) };
  });
}

/** The values of one metric, by their labels' values in one text. */
export function valuesOf(samples: readonly Sample[], name: string): Record<string, number> {
  const chosen = samples.filter((sample) => sample.name === name);
  return Object.fromEntries(chosen.map(({ labels, value }) => [Object.values(labels).join(" "), value]));
}
