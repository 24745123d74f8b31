/**
 * The documentation, type-checked and run: each TypeScript block of README.md and docs/ is a program that works.
 *
 * CONTRIBUTING.md says how pages are written for this. The second half shows on made-up pages that it bites.
 */
import { existsSync, globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { blocksOf } from "./docs/blocks.ts";
import { isRun, type Program, programsOf, Workshop } from "./docs/programs.ts";

/** The longest example takes a few seconds; more than this is a program that does not end. */
const limitMs = 20_000;

const root = fileURLToPath(new URL("../", import.meta.url));
const pages = ["README.md", ...globSync("docs/**/*.md", { cwd: root }).sort()];
const blocks = pages.flatMap((page) => blocksOf(page, readFileSync(`${root}${page}`, "utf8")));

describe("the documentation", () => {
  const programs = programsOf(blocks);
  const workshop = new Workshop("docs");
  let typeErrors: ReadonlyMap<string, readonly string[]>;

  beforeAll(async () => {
    typeErrors = await workshop.check(programs);
  });

  afterAll(() => {
    workshop[Symbol.dispose]();
    const ran = blocks.filter((block) => block.runs).length;
    console.log(`Documentation: ${ran} blocks run, ${blocks.length - ran} blocks only type-checked`);
  });

  it("has an example in README.md", () => {
    expect(blocks.filter((block) => block.page === "README.md" && block.runs)).not.toEqual([]);
  });

  it.each(programs)("$name has no type errors", ({ name }) => {
    expect(typeErrors.get(name)).toEqual([]);
  });

  it.each(programs.filter(isRun))(
    "$name runs and ends",
    async (program) => {
      await workshop.run(program, limitMs);
    },
    limitMs + 10_000,
  );
});

describe("blocksOf", () => {
  const page = (...lines: readonly string[]): string => lines.join("\n");

  it("finds the TypeScript blocks, with their lines", () => {
    const markdown = page(
      "# A",
      "```ts",
      "a;",
      "b;",
      "```",
      "",
      "~~~typescript title=x",
      "c;",
      "~~~",
      "```js",
      "d",
      "```",
    );
    expect(blocksOf("a.md", markdown)).toEqual([
      { page: "a.md", line: 3, code: "a;\nb;", continues: false, runs: true, setup: undefined },
      { page: "a.md", line: 8, code: "c;", continues: false, runs: true, setup: undefined },
    ]);
  });

  it("takes the indent from blocks in lists", () => {
    expect(
      blocksOf("a.md", page("1. One", "   ```ts", "   if (a) {", "     b;", "", "   }", "   ```")),
    ).toMatchObject([{ line: 3, code: "if (a) {\n  b;\n\n}" }]);
  });

  it("leaves alone what a longer fence shows", () => {
    expect(
      blocksOf("a.md", page("````md", "```ts", "a;", "```", "````", "```ts", "b;", "```")),
    ).toMatchObject([{ code: "b;" }]);
  });

  it("reads the directives of the comment before the block", () => {
    const markdown = page(
      "<!-- docs: setup=three-servers -->",
      "```ts",
      "a;",
      "```",
      "<!-- docs: continue no-run -->",
      "",
      "```ts",
      "b;",
      "```",
    );
    expect(blocksOf("a.md", markdown)).toMatchObject([
      { continues: false, runs: true, setup: "three-servers" },
      { continues: true, runs: false, setup: undefined },
    ]);
  });

  it.each([
    [page("<!-- docs: norun -->", "```ts", "a;", "```"), "not one of"],
    [page("<!-- docs: no-run -->", "Text.", "```ts", "a;", "```"), "no TypeScript block follows"],
    [page("<!-- docs: no-run -->", "```sh", "a", "```"), "no TypeScript block follows"],
    [page("<!-- docs: no-run -->"), "no TypeScript block follows"],
    [page("```ts", "a;"), "does not end"],
  ])("refuses %j", (markdown, message) => {
    expect(() => blocksOf("a.md", markdown)).toThrow(message);
  });

  it.each([
    [page("<!-- docs: continue -->", "```ts", "a;", "```"), "no block to continue"],
    [
      page("```ts", "a;", "```", "<!-- docs: continue setup=x -->", "```ts", "b;", "```"),
      "belongs to the first",
    ],
  ])("lets no program be made of %j", (markdown, message) => {
    expect(() => programsOf(blocksOf("a.md", markdown))).toThrow(message);
  });
});

describe("the check of types bites", () => {
  it("on wrong types and on what the package does not export, and names the line of the page", async () => {
    using workshop = new Workshop("docs-samples");
    const errors = await workshop.check([
      program("right.md", 'import { Balancer } from "evenkeel";\nconsole.log(Balancer.name);'),
      program("wrong.md", "const a = 1;\n\nconst b: string = a;"),
      program("unknown.md", 'import { doesNotExist } from "evenkeel";\ndoesNotExist();'),
      program("hidden.md", 'import "evenkeel/core/node.js";'),
    ]);
    expect(errors.get("right.md:3")).toEqual([]);
    expect(errors.get("wrong.md:3")?.join("\n")).toMatch(/^wrong\.md:5: error TS2322/);
    expect(errors.get("unknown.md:3")?.join("\n")).toMatch(/^unknown\.md:3: .*no exported member/);
    expect(errors.get("hidden.md:3")?.join("\n")).toMatch(/^hidden\.md:3: .*Cannot find module/);
  });

  it("on blocks that are not run, too", async () => {
    using workshop = new Workshop("docs-samples");
    const sample = program("a.md", "const a: string = 1;", "no-run");
    expect(isRun(sample)).toBe(false);
    expect((await workshop.check([sample])).get(sample.name)).toHaveLength(1);
  });
});

describe("the run bites", () => {
  const run = async (sample: Program, limit: number = limitMs): Promise<string> => {
    using workshop = new Workshop("docs-samples");
    return await workshop.run(sample, limit);
  };

  it.each([
    ['throw new Error("on purpose");', "on purpose"],
    ['Promise.reject(new Error("on purpose"));', "on purpose"],
    ["process.exit(3);", "ended with code 3"],
    ["await new Promise(() => {});", "ended with code 13"],
    ['const a: string = JSON.parse("1"); a.trim();', "program.ts:3"],
  ])("on %s", async (code, message) => {
    await expect(run(program("a.md", code))).rejects.toThrow(message);
  });

  it("on a program that does not end", async () => {
    // Waits for the wall clock: that a process does not end shows only in time. Sooner or later makes no difference.
    await expect(run(program("a.md", "setInterval(() => {}, 1_000);"), 500)).rejects.toThrow(
      "did not end within",
    );
  });

  it("not on one that works, and gives it the block before it", async () => {
    const sample = program(
      "a.md",
      'const a: string = "carried over";\n```\n<!-- docs: continue -->\n```ts\nconsole.log(a);',
    );
    expect(await run(sample)).toBe("carried over\n");
  });

  it("lets a program call the addresses of its setup", async () => {
    const code =
      'const response = await fetch("http://10.0.0.2:8080/x");\nconsole.log(await response.text());';
    expect(JSON.parse(await run(program("a.md", code, "setup=three-servers")))).toEqual({
      server: "10.0.0.2:8080",
      method: "GET",
      path: "/x",
    });
  });

  it("on a setup that does not exist", async () => {
    await expect(run(program("a.md", "", "setup=no-servers"))).rejects.toThrow("no-servers");
  });

  it("leaves nothing behind", async () => {
    await run(program("a.md", ""));
    expect(existsSync(`${root}.cache/docs-samples-${process.pid}`)).toBe(false);
  });
});

/** The program of a page that begins with a directive, if any, and goes on with one block. */
function program(page: string, code: string, directive?: string): Program {
  const comment = directive === undefined ? "" : `<!-- docs: ${directive} -->`;
  const [first, ...more] = programsOf(blocksOf(page, `${comment}\n\`\`\`ts\n${code}\n\`\`\``));
  if (first === undefined || more.length > 0) throw new Error("A sample is one program");
  return first;
}
