/**
 * Turns an answer that went out without its handler into one that nobody reads.
 *
 * The handler comes late and knows nothing of it. To Node.js, headers after an answer are an error, and thrown in an
 * asynchronous handler that would end the process. When a caller has gone, Node.js drops what is still written without a
 * word, and so does this.
 *
 * Its framework knows nothing either. When the handler fails, since its own calls were ended by the same deadline, Express
 * looks at `headersSent` and breaks off an answer that has begun, and with it the connection that it goes out on. To them
 * no headers have been sent, and what they have to say of the failure is dropped like all else. Those that listen for the
 * end of the answer, as access logs do, are told the truth.
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

type Method = (...values: readonly unknown[]) => unknown;

/**
 * @param response has been ended.
 * @param connection what it goes out on. Once that has gone, the answer may be destroyed: Node.js does it to tell its end.
 */
export function mute(response: object, connection?: { readonly destroyed?: boolean }): void {
  const { destroy, emit } = response as { readonly destroy?: Method; readonly emit?: Method };
  const drop = (): object => response;
  let isTelling = false;
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
    destroy: (...values: readonly unknown[]) =>
      connection?.destroyed === true ? destroy?.call(response, ...values) : response,
    emit: (...values: readonly unknown[]) => {
      isTelling = true;
      try {
        return emit?.call(response, ...values);
      } finally {
        isTelling = false;
      }
    },
  });
  Object.defineProperty(response, "headersSent", { get: () => isTelling, configurable: true });
}

/** Whoever waits for a write to be done does not wait for ever. */
function callBack(values: readonly unknown[]): void {
  const last = values.at(-1);
  if (typeof last === "function") process.nextTick(last as () => void);
}
