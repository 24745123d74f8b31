/** Text in columns, for terminals. */
import { stripVTControlCharacters } from "node:util";

/** Pads each column to its widest cell. Cells may be coloured. `align` has one letter a column: l or r. */
export function columns(rows: readonly (readonly string[])[], align: string): readonly string[] {
  const widths = Array.from(align, (_letter, column) =>
    Math.max(...rows.map((row) => widthOf(row[column] ?? ""))),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const padding = " ".repeat(Math.max(0, (widths[column] ?? 0) - widthOf(cell)));
        return align[column] === "r" ? padding + cell : cell + padding;
      })
      .join("  ")
      .trimEnd(),
  );
}

/** Cuts a line to the terminal's width. A line that is cut loses its colours: that is rare, and safe. */
export function clip(line: string, width: number): string {
  return widthOf(line) <= width ? line : stripVTControlCharacters(line).slice(0, width);
}

function widthOf(text: string): number {
  return stripVTControlCharacters(text).length;
}

const grouped = new Intl.NumberFormat("en-US");

/** 12345 as "12,345". */
export function integer(value: number): string {
  return grouped.format(Math.round(value));
}

export function milliseconds(value: number): string {
  return value < 10 ? `${value.toFixed(1)} ms` : `${integer(value)} ms`;
}

/** With one decimal below 10%, where a small share is not none. */
export function percent(share: number): string {
  return share > 0 && share < 0.1 ? `${(share * 100).toFixed(1)}%` : `${Math.round(share * 100)}%`;
}

/** "1 call", "2 calls". */
export function plural(count: number, noun: string): string {
  return `${integer(count)} ${noun}${count === 1 ? "" : "s"}`;
}
