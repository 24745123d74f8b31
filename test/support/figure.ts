/** Prints what a fault test measured beside its pass mark, in a form that people and scripts can read. */

/** One line for one fault: `fault 1 node dies: 0 of 8,000 failed (pass: 0), 31 calls were in flight`. */
export function printFigure(fault: string, ...figures: readonly string[]): void {
  console.log(`fault ${fault}: ${figures.join(", ")}`);
}

/** `8,000`; fractions to one digit. */
export function count(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 1 });
}

export function ms(value: number): string {
  return `${value.toLocaleString("en-US", { maximumFractionDigits: 1 })} ms`;
}

export function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(2)}%`;
}
