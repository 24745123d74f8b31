/** Lists a key range page by page, all pages at the revision of the first. */
import { failureOf } from "./failure.ts";
import { type KeyRange, keyAfter } from "./key-range.ts";
import type { KeyValue, RangeRequest, RangeResponse, ResponseHeader } from "./messages.ts";

/** A page of the largest values that etcd takes by default (1.5 MB) would be 1.5 GB; of usual ones it is 200 kB. */
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
  // Linearizable: the first page is the store as it is now, not as the member happens to know it. Without an order
  // etcd gives keys in theirs, and stops at the limit; with one it reads all of them for each page.
  let page = await range({ key, rangeEnd, limit: pageSize });
  const { header } = page;
  const kvs = [...page.kvs];
  for (let last = kvs.at(-1); page.more && last !== undefined; last = page.kvs.at(-1)) {
    page = await range({
      key: keyAfter(last.key),
      rangeEnd,
      limit: pageSize,
      revision: Number(header.revision),
    });
    for (const kv of page.kvs) kvs.push(kv);
  }
  return { header, kvs };
}
