/** What answers the calls of the Shop: as they wish, with the address of who answered. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { Shop, type Told, type Wish } from "./shop.ts";

/** What the server has seen of its calls. */
export interface ShopCounts {
  started: number;
  /** Ended by their caller before they were answered. */
  aborted: number;
  /** The most under way at once. */
  inflight: number;
  most: number;
}

/** @param from what answers say where they are from; asked late, as a port is known late. */
export function shopRoutes(from: () => string, counts: ShopCounts): (router: ConnectRouter) => void {
  const answer = async (
    { value }: { readonly value: string },
    context: HandlerContext,
    heard: number,
  ): Promise<{ value: string }> => {
    const wish = JSON.parse(value) as Wish;
    if (wish.at === undefined || wish.at === from()) {
      if (wish.afterMs !== undefined) await rest(wish.afterMs, context.signal);
      if (wish.code !== undefined) throw new ConnectError(`asked for by ${from()}`, wish.code as Code);
    }
    const leftMs = context.timeoutMs();
    const told: Told = {
      from: from(),
      bytes: value.length,
      heard,
      ...(leftMs === undefined ? {} : { leftMs }),
    };
    const filler = wish.bytes === undefined ? {} : { filler: "x".repeat(wish.bytes) };
    return { value: JSON.stringify({ ...told, ...filler }) };
  };
  const counted = async <T>(context: HandlerContext, work: () => Promise<T>): Promise<T> => {
    begin(counts);
    try {
      return await work();
    } finally {
      counts.inflight--;
      if (context.signal.aborted) counts.aborted++;
    }
  };
  return (router) =>
    router.service(Shop, {
      get: (request, context) => counted(context, () => answer(request, context, 1)),
      buy: (request, context) => counted(context, () => answer(request, context, 1)),
      async *list(request, context) {
        begin(counts);
        try {
          const { messages = 3 } = JSON.parse(request.value) as Wish;
          for (let index = 0; index < messages; index++) yield await answer(request, context, index);
        } finally {
          counts.inflight--;
          if (context.signal.aborted) counts.aborted++;
        }
      },
      fill: (requests, context) =>
        counted(context, async () => {
          let heard = 0;
          let last = { value: "{}" };
          for await (const request of requests) {
            heard++;
            last = request;
            if (heard === readsOf(request)) break;
          }
          return await answer(last, context, heard);
        }),
      async *talk(requests, context) {
        begin(counts);
        try {
          let heard = 0;
          for await (const request of requests) {
            yield await answer(request, context, ++heard);
            if (heard === readsOf(request)) break;
          }
        } finally {
          counts.inflight--;
          if (context.signal.aborted) counts.aborted++;
        }
      },
    });
}

function readsOf({ value }: { readonly value: string }): number | undefined {
  return (JSON.parse(value) as Wish).reads;
}

async function rest(restMs: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(restMs, undefined, { signal });
  } catch {
    // A ConnectError, of which the caller learns: DeadlineExceeded or Canceled.
    throw signal.reason;
  }
}

function begin(counts: ShopCounts): void {
  counts.started++;
  counts.inflight++;
  counts.most = Math.max(counts.most, counts.inflight);
}
