/** Lists a key range page by page, all pages at the revision of the first. */
import { failureOf } from "./failure.ts";
import { type KeyRange, keyAfter } from "./key-range.ts";
import type { KeyValue, RangeRequest, RangeResponse, ResponseHeader } from "./messages.ts";

/**
 * A page of usual values is 200 kB; of the largest that etcd takes by default (1.5 MB) it would be 1.5 GB, which is more
 * than an answer may have: then pages are a tenth of this, a hundredth, and at last single values.
 */
const pageSize = 1_000;
/** How often a list is begun again because its revision was compacted on the way. */
const mostRestarts = 3;

export interface Listing {
  /** Of the first page: its revision is the one that was listed. */
  readonly header: ResponseHeader;
  readonly kvs: readonly KeyValue[];
}

/** @param range asks for one page. */
export async function listRange(
  range: (request: RangeRequest) => Promise<RangeResponse>,
  { key, rangeEnd }: KeyRange,
): Promise<Listing> {
  for (let restarts = 0; ; restarts++) {
    try {
      return await listOnce(range, { key, rangeEnd });
    } catch (error) {
      if (failureOf(error) !== "compacted" || restarts === mostRestarts) throw error;
    }
  }
}

async function listOnce(
  range: (request: RangeRequest) => Promise<RangeResponse>,
  { key, rangeEnd }: KeyRange,
): Promise<Listing> {
  const kvs: KeyValue[] = [];
  let limit = pageSize;
  let from = key;
  let header: ResponseHeader | undefined;
  for (;;) {
    // Linearizable: the first page is the store as it is now, not as the member happens to know it. Without an order
    // etcd gives keys in theirs, and stops at the limit; with one it reads all of them for each page.
    const revision = header === undefined ? {} : { revision: Number(header.revision) };
    let page: RangeResponse;
    try {
      page = await range({ key: from, rangeEnd, limit, ...revision });
    } catch (error) {
      if (failureOf(error) !== "size" || limit === 1) throw error;
      limit /= 10;
      continue;
    }
    header ??= page.header;
    for (const kv of page.kvs) kvs.push(kv);
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) return { header, kvs };
    from = keyAfter(last.key);
  }
}
