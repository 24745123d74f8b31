/** Tests that options are checked, and each mistake is named with its path and value. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OptionReader, show } from "./option-reader.ts";

const reader = (given: object, path = "retry") => new OptionReader(given, path);

describe("OptionReader", () => {
  it("reads each kind of value", () => {
    const options = reader({
      number: 5,
      boolean: false,
      string: "x",
      word: "b",
      array: [1],
      object: { run: () => 1 },
      function: () => 2,
      nested: { deep: 3 },
      value: null,
    });
    expect(options.number("number", { default: 1, min: 0 })).toBe(5);
    expect(options.boolean("boolean", true)).toBe(false);
    expect(options.string("string")).toBe("x");
    expect(options.word("word", ["a", "b"], "a")).toBe("b");
    expect(options.array("array", [])).toEqual([1]);
    expect(options.object<{ run(): number }>("object", ["run"])?.run()).toBe(1);
    expect(options.function<() => number>("function")?.()).toBe(2);
    expect(options.nested("nested").number("deep", { default: 0, min: 0 })).toBe(3);
    expect(options.value("value")).toBeNull();
    options.end();
  });

  it("has the default for what is not given or undefined", () => {
    for (const given of [undefined, {}, { number: undefined }]) {
      const options = new OptionReader(given, "x");
      expect(options.number("number", { default: 1, min: 5 })).toBe(1);
      expect(options.boolean("boolean", true)).toBe(true);
      expect(options.string("string")).toBeUndefined();
      expect(options.word("word", ["a", "b"], "a")).toBe("a");
      expect(options.array("array", [7])).toEqual([7]);
      expect(options.object("object", ["run"])).toBeUndefined();
      expect(options.function("function")).toBeUndefined();
      options.nested("nested").end();
      options.end();
    }
  });

  it.each<[unknown, string]>([
    [null, "retry must be an object, got null"],
    [5, "retry must be an object, got 5"],
    [[], "retry must be an object, got an array of 0"],
    ["x", 'retry must be an object, got "x"'],
    [() => {}, "retry must be an object, got a function"],
  ])("refuses %j for an object", (given, message) => {
    expect(() => new OptionReader(given, "retry")).toThrow(new TypeError(message));
    expect(() => reader({ retry: given }, "").nested("retry")).toThrow(new TypeError(message));
    expect(() => new OptionReader(given, "")).toThrow(message.replace("retry", "options"));
  });

  it("takes numbers within their range only, both ends included", () => {
    fc.assert(
      fc.property(fc.integer(), fc.nat(1_000), fc.double(), (min, width, value) => {
        const read = () => reader({ n: value }).number("n", { default: 0, min, max: min + width });
        if (value >= min && value <= min + width) expect(read()).toBe(value);
        else expect(read).toThrow(RangeError);
      }),
    );
    const wide = { default: 0, min: 0, max: Number.POSITIVE_INFINITY };
    expect(reader({ n: Number.POSITIVE_INFINITY }).number("n", wide)).toBe(Number.POSITIVE_INFINITY);
    expect(() => reader({ n: Number.POSITIVE_INFINITY }).number("n", { default: 0, min: 0 })).toThrow(
      RangeError,
    );
  });

  it("names path, rule and value", () => {
    const number = { default: 1, min: 1, max: 9 };
    const mistakes: [() => unknown, Error][] = [
      [() => reader({ n: "5" }).number("n", number), new TypeError('retry.n must be a number, got "5"')],
      [
        () => reader({ n: 10 }).number("n", number),
        new RangeError("retry.n must be a number from 1 to 9, got 10"),
      ],
      [
        () => reader({ n: 1.5 }).number("n", { ...number, integer: true }),
        new RangeError("retry.n must be an integer from 1 to 9, got 1.5"),
      ],
      [
        () => reader({ n: 0 }, "").number("n", { default: 1, min: 1 }),
        new RangeError("n must be a number of at least 1, got 0"),
      ],
      [() => reader({ b: 0 }).boolean("b", true), new TypeError("retry.b must be true or false, got 0")],
      [() => reader({ s: "" }).string("s"), new TypeError('retry.s must be a non-empty string, got ""')],
      [
        () => reader({ w: "c" }).word("w", ["a", "b"], "a"),
        new RangeError('retry.w must be "a" or "b", got "c"'),
      ],
      [
        () => reader({ a: {} }).array("a", []),
        new TypeError("retry.a must be an array, got an object with no fields"),
      ],
      [
        () => reader({ o: { x: 1 } }).object("o", ["run"]),
        new TypeError("retry.o must have a method run(), got an object with x"),
      ],
      [() => reader({ f: [] }).function("f"), new TypeError("retry.f must be a function, got an array of 0")],
      [
        () =>
          reader({ budget: { x: 1 } })
            .nested("budget")
            .string("x"),
        new TypeError("retry.budget.x must be a non-empty string, got 1"),
      ],
    ];
    for (const [read, error] of mistakes) {
      expect(read).toThrow(error);
      expect(read).toThrow(error.constructor as ErrorConstructor);
    }
  });

  it("refuses what was not asked for, with the nearest known name if it is near", () => {
    const known = (given: object) => () => {
      const options = reader(given);
      options.number("attempts", { default: 1, min: 0 });
      options.number("backoffMs", { default: 1, min: 0 });
      options.end();
    };
    expect(known({ attempts: 1 })).not.toThrow();
    expect(known({ attempt: 1 })).toThrow(
      new TypeError('unknown option retry.attempt (1); did you mean "attempts"?'),
    );
    expect(known({ backoffms: 1 })).toThrow('did you mean "backoffMs"?');
    expect(known({ completelyDifferent: "x" })).toThrow(
      new TypeError('unknown option retry.completelyDifferent ("x")'),
    );
  });

  it("suggests the name for any slip of one letter", () => {
    const name = "consecutiveFailures";
    fc.assert(
      fc.property(fc.nat(name.length - 1), fc.constantFrom("drop", "double", "replace"), (at, slip) => {
        const letter = name[at] as string;
        const inserted = { drop: "", double: letter + letter, replace: "#" }[slip] as string;
        const wrong = name.slice(0, at) + inserted + name.slice(at + 1);
        const options = reader({ [wrong]: 1 });
        options.number("baseMs", { default: 1, min: 0 });
        options.number(name, { default: 1, min: 0 });
        expect(() => options.end()).toThrow(`did you mean "${name}"?`);
      }),
    );
  });
});

describe("show", () => {
  it.each<[unknown, string]>([
    ["x", '"x"'],
    ["x".repeat(61), `"${"x".repeat(57)}..."`],
    [5, "5"],
    [Number.NaN, "NaN"],
    [null, "null"],
    [undefined, "undefined"],
    [10n, "10"],
    [Symbol("s"), "Symbol(s)"],
    [[1, 2], "an array of 2"],
    [{ a: 1, b: 2 }, "an object with a, b"],
    [{}, "an object with no fields"],
    [() => {}, "a function"],
    [Object.create(null), "an object with no fields"],
  ])("is short and recognisable", (value, text) => {
    expect(show(value)).toBe(text);
  });

  it("stays short for large values", () => {
    const large = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`key${index}`, index]));
    expect(show(large).length).toBeLessThan(200);
  });
});
