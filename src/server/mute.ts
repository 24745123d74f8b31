/**
 * Turns an answer that went out without its handler into one that nobody reads.
 *
 * The handler comes late and knows nothing of it. To Node.js, headers after an answer are an error, and thrown in an
 * asynchronous handler that would end the process. When a caller has gone, Node.js drops what is still written without a
 * word, and so does this.
 */

const headerMethods = [
  "writeHead",
  "setHeader",
  "setHeaders",
  "appendHeader",
  "removeHeader",
  "flushHeaders",
  "addTrailers",
  "writeContinue",
  "writeProcessing",
  "writeEarlyHints",
] as const;

/** @param response has been ended. */
export function mute(response: object): void {
  const drop = (): object => response;
  const methods = Object.fromEntries(headerMethods.map((name) => [name, drop]));
  Object.assign(response, methods, {
    write: (...values: readonly unknown[]) => {
      callBack(values);
      return true;
    },
    end: (...values: readonly unknown[]) => {
      callBack(values);
      return response;
    },
  });
}

/** Whoever waits for a write to be done does not wait for ever. */
function callBack(values: readonly unknown[]): void {
  const last = values.at(-1);
  if (typeof last === "function") process.nextTick(last as () => void);
}
