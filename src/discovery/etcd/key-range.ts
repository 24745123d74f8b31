/** Which keys a request means: all that begin with a prefix. */
import { show } from "../../core/option-reader.ts";

export interface KeyRange {
  readonly key: Buffer;
  /** The first key after the range. */
  readonly rangeEnd: Buffer;
}

/**
 * @param prefix not empty: the range of all keys of a registry is never what is wanted.
 * @throws TypeError for a prefix, which may come from a format of the user's, that is empty or no text.
 */
export function rangeOf(prefix: string): KeyRange {
  if (typeof prefix !== "string" || prefix === "") {
    throw new TypeError(`a service's keys in etcd must begin with a non-empty string, got ${show(prefix)}`);
  }
  const key = Buffer.from(prefix);
  const rangeEnd = Buffer.from(key);
  // UTF-8 has no byte 0xff, so the last byte can always be raised by one.
  const last = rangeEnd.length - 1;
  rangeEnd[last] = (rangeEnd[last] as number) + 1;
  return { key, rangeEnd };
}

/** The least key that is greater than this one. */
export function keyAfter(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.of(0)]);
}
