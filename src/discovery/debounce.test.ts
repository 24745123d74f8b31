/** Tests of the debounce, in virtual time. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.ts";
import { Debounce } from "./debounce.ts";

function createHarness() {
  const clock = new ManualClock();
  const emitted: { readonly value: number; readonly at: number }[] = [];
  const debounce = new Debounce<number>(clock, 100, 1_000, (value) => {
    emitted.push({ value, at: clock.now() });
  });
  return { clock, emitted, debounce };
}

describe("Debounce", () => {
  it("passes a lone value on at once", () => {
    const { clock, emitted, debounce } = createHarness();
    debounce.push(1);
    clock.advance(5_000);
    debounce.push(2);
    expect(emitted).toEqual([
      { value: 1, at: 0 },
      { value: 2, at: 5_000 },
    ]);
  });

  it("passes the last of a burst on when it pauses", () => {
    const { clock, emitted, debounce } = createHarness();
    for (const value of [1, 2, 3, 4]) {
      debounce.push(value);
      clock.advance(50);
    }
    clock.advance(1_000);
    // The last came at 150.
    expect(emitted).toEqual([
      { value: 1, at: 0 },
      { value: 4, at: 250 },
    ]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("lets no value wait longer than the limit when they never pause", () => {
    const { clock, emitted, debounce } = createHarness();
    for (let value = 0; value < 100; value++) {
      debounce.push(value);
      clock.advance(50);
    }
    // Held since 50, so due at 1,050; the next one is held since 1,050.
    expect(emitted.slice(0, 4).map(({ at }) => at)).toEqual([0, 1_050, 2_050, 3_050]);
  });

  it("passes on at once what it holds when told to, once", () => {
    const { clock, emitted, debounce } = createHarness();
    debounce.push(1);
    debounce.flush();
    debounce.push(2);
    debounce.flush();
    clock.advance(1_000);
    expect(emitted.map(({ value }) => value)).toEqual([1, 2]);
  });

  it("drops what it holds, and its timer, when closed", () => {
    const { clock, emitted, debounce } = createHarness();
    debounce.push(1);
    debounce.push(2);
    debounce.close();
    expect(clock.pendingTimers).toBe(0);
    clock.advance(1_000);
    expect(emitted).toHaveLength(1);
  });

  it("always ends with the last value, in order, within the limit", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(300), { minLength: 1, maxLength: 60 }), (gaps) => {
        const { clock, emitted, debounce } = createHarness();
        const pushedAt: number[] = [];
        for (const [value, gap] of gaps.entries()) {
          pushedAt.push(clock.now());
          debounce.push(value);
          clock.advance(gap);
        }
        clock.advance(1_000);
        expect(emitted.at(-1)?.value).toBe(gaps.length - 1);
        expect(clock.pendingTimers).toBe(0);
        // Each value, or a later one, is passed on within a second.
        for (const [value, at] of pushedAt.entries()) {
          expect(emitted.some((one) => one.value >= value && one.at <= at + 1_000)).toBe(true);
        }
        for (const [index, one] of emitted.entries()) {
          if (index > 0) expect(one.value).toBeGreaterThan(emitted[index - 1]?.value as number);
        }
      }),
    );
  });
});
