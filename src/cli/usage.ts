/** What is wrong with how a command was called: told to the user in one line, with exit code 2. */
import { type ParseArgsConfig, parseArgs } from "node:util";

/** The message is for people and says what was expected. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}

type Options = NonNullable<ParseArgsConfig["options"]>;

/** `parseArgs` of Node with its errors as usage errors. Takes no arguments besides options. */
export function parseOptions<Given extends Options>(
  args: readonly string[],
  options: Given,
): ReturnType<typeof parseArgs<{ args: string[]; options: Given }>>["values"] {
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    // Node explains at length how to pass what looks like an option and is none; the first sentence says it.
    const [reason = ""] = (error as Error).message.split(/\n|\. (?=[A-Z])/);
    throw new UsageError(reason);
  }
}

/** @throws UsageError unless `text` is a number from `min` to `max`. */
export function numberOption(
  name: string,
  text: string | undefined,
  range: { readonly default: number; readonly min: number; readonly max: number },
): number {
  if (text === undefined) return range.default;
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (value >= range.min && value <= range.max) return value;
  throw new UsageError(`${name} must be a number from ${range.min} to ${range.max}, got "${text}"`);
}
