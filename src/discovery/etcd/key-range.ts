/** Which keys a request means: all that begin with a prefix. */

export interface KeyRange {
  readonly key: Buffer;
  /** The first key after the range. */
  readonly rangeEnd: Buffer;
}

/** @param prefix not empty: the range of all keys of a registry is never what is wanted. */
export function rangeOf(prefix: string): KeyRange {
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
