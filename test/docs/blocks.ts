/** Finds the TypeScript blocks of a Markdown page, with the directives that stand in comments before them. */

export interface Block {
  /** The page's path, and the line of the block's first line of code. */
  readonly page: string;
  readonly line: number;
  readonly code: string;
  /** Goes on where the block before it ended. */
  readonly continues: boolean;
  /** False for a block whose types are checked and that is not run. */
  readonly runs: boolean;
  /** The name of what is started before it, see setup.ts. */
  readonly setup: string | undefined;
}

type Directives = Pick<Block, "continues" | "runs" | "setup">;

const plain: Directives = { continues: false, runs: true, setup: undefined };
const languages: ReadonlySet<string> = new Set(["ts", "typescript"]);

interface Fence {
  readonly indent: number;
  readonly marks: string;
  readonly language: string;
  /** Index of the line after the fence. */
  readonly start: number;
}

/** Throws on a directive that it does not know or that no block follows, as both are mistakes that would hide one. */
export function blocksOf(page: string, markdown: string): readonly Block[] {
  const lines = markdown.split("\n");
  const blocks: Block[] = [];
  let directives: Directives | undefined;
  let fence: Fence | undefined;
  for (const [index, line] of lines.entries()) {
    if (fence !== undefined) {
      if (!closes(line, fence)) continue;
      if (languages.has(fence.language)) {
        const code = lines.slice(fence.start, index).map((text) => dedent(text, (fence as Fence).indent));
        blocks.push({ page, line: fence.start + 1, code: code.join("\n"), ...(directives ?? plain) });
      } else if (directives !== undefined) {
        throw new Error(`${page}:${index + 1}: no TypeScript block follows the docs comment`);
      }
      directives = undefined;
      fence = undefined;
      continue;
    }
    fence = fenceIn(line, index);
    const words = /^\s*<!--\s*docs:(.*)-->\s*$/.exec(line)?.[1];
    if (words === undefined) {
      if (fence !== undefined || line.trim() === "" || directives === undefined) continue;
      throw new Error(`${page}:${index + 1}: no TypeScript block follows the docs comment`);
    }
    directives = directivesIn(words, `${page}:${index + 1}`);
  }
  if (fence !== undefined) throw new Error(`${page}:${fence.start}: the block does not end`);
  if (directives !== undefined) throw new Error(`${page}: no TypeScript block follows the last docs comment`);
  return blocks;
}

function fenceIn(line: string, index: number): Fence | undefined {
  const match = /^(\s*)(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/.exec(line);
  if (match === null) return undefined;
  const [, space = "", marks = "", language = ""] = match;
  return { indent: space.length, marks, language, start: index + 1 };
}

/** A longer fence may hold shorter ones, which are then text. */
function closes(line: string, fence: Fence): boolean {
  const text = line.trim();
  return text.startsWith(fence.marks) && text.replaceAll(fence.marks.charAt(0), "") === "";
}

/** Blocks in lists are indented. */
function dedent(line: string, indent: number): string {
  return line.slice(0, indent).trim() === "" ? line.slice(indent) : line;
}

function directivesIn(words: string, where: string): Directives {
  let directives = plain;
  for (const word of words.trim().split(/\s+/)) {
    const setup = /^setup=([\w-]+)$/.exec(word)?.[1];
    if (word === "continue") directives = { ...directives, continues: true };
    else if (word === "no-run") directives = { ...directives, runs: false };
    else if (setup !== undefined) directives = { ...directives, setup };
    else throw new Error(`${where}: "${word}" is not one of continue, no-run, setup=<name>`);
  }
  return directives;
}
