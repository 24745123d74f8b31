/** Tests of questions to name servers: what is asked of one that was closed, which is nothing. */
import { expect, it } from "vitest";
import { ManualClock } from "../../testing/manual-clock.ts";
import { createLookup } from "./lookup.ts";

it("asks nothing any more once it is closed, and waits for nobody", async () => {
  const clock = new ManualClock();
  const lookup = createLookup({ servers: ["127.0.0.1:9"], timeoutMs: 1_000, tries: 1 }, clock);
  lookup.close();
  const replies = [lookup.addresses("orders.test", "A"), lookup.services("orders.test")];
  expect(clock.pendingTimers).toBe(0);
  for (const reply of replies) {
    expect(await reply).toMatchObject({
      kind: "failed",
      error: { message: expect.stringMatching(/^DNS \w+ orders\.test: /) },
    });
  }
});
