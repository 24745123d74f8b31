/** Tests of listing by pages. */
import { describe, expect, it } from "vitest";
import { EtcdError } from "./failure.ts";
import { rangeOf } from "./key-range.ts";
import { listRange } from "./list-range.ts";
import type { RangeRequest, RangeResponse } from "./messages.ts";

function store(count: number): {
  requests: RangeRequest[];
  range(request: RangeRequest): Promise<RangeResponse>;
} {
  const keys = Array.from({ length: count }, (_, index) =>
    Buffer.from(`a/${String(index).padStart(6, "0")}`),
  );
  const requests: RangeRequest[] = [];
  return {
    requests,
    async range(request) {
      requests.push(request);
      const rest = keys.filter((key) => key.compare(request.key) >= 0);
      const kvs = rest
        .slice(0, request.limit)
        .map((key) => ({ key, value: Buffer.alloc(0), modRevision: "1", lease: "0" }));
      const revision = String(100 + requests.length);
      return { header: { clusterId: "1", revision, raftTerm: "2" }, kvs, more: kvs.length < rest.length };
    },
  };
}

describe("listRange", () => {
  it.each([0, 1, 1_000, 1_001, 10_000])("lists %d keys, each once, at one revision", async (count) => {
    const { range, requests } = store(count);
    const { header, kvs } = await listRange(range, rangeOf("a/"));
    expect(new Set(kvs.map(({ key }) => key.toString())).size).toBe(count);
    expect(kvs).toHaveLength(count);
    expect(requests).toHaveLength(Math.max(1, Math.ceil(count / 1_000)));
    expect(header.revision).toBe("101");
    expect(requests.map(({ revision }) => revision)).toEqual([
      undefined,
      ...requests.slice(1).map(() => 101),
    ]);
  });

  it("begins again when its revision is compacted on the way, but not for ever", async () => {
    const { range, requests } = store(2_500);
    let compactions = 1;
    const compacted = async (request: RangeRequest): Promise<RangeResponse> => {
      if (request.revision !== undefined && compactions-- > 0) throw new EtcdError("compacted", "compacted");
      return range(request);
    };
    expect((await listRange(compacted, rangeOf("a/"))).kvs).toHaveLength(2_500);
    expect(requests).toHaveLength(4);
    compactions = Number.POSITIVE_INFINITY;
    await expect(listRange(compacted, rangeOf("a/"))).rejects.toThrow("compacted");
  });

  it("takes smaller pages when the values are too large for one, and fails only for what is too large alone", async () => {
    const { range, requests } = store(250);
    let most = 10;
    const limited = async (request: RangeRequest): Promise<RangeResponse> => {
      if ((request.limit ?? 0) > most) throw new EtcdError("size", "Received message larger than max");
      return range(request);
    };
    const { header, kvs } = await listRange(limited, rangeOf("a/"));
    expect(new Set(kvs.map(({ key }) => key.toString())).size).toBe(250);
    expect(requests).toHaveLength(25);
    expect(header.revision).toBe("101");
    most = 0;
    await expect(listRange(limited, rangeOf("a/"))).rejects.toThrow("larger than max");
  });
});
