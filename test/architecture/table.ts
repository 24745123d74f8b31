/** Reads the tables of CONTRIBUTING.md that the tests hold against the tree: the folder map and the import table. */

/** For each room, the rooms that its row names. */
export type ImportTable = ReadonlyMap<string, readonly string[]>;

/** The rows of the first table under the heading, each a list of cells; the head of the table is left out. */
export function tableUnder(heading: string, markdown: string): readonly (readonly string[])[] {
  const lines = markdown.split("\n");
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, "").trim() === heading);
  if (start === -1) throw new Error(`There is no heading "${heading}"`);
  const rows: string[][] = [];
  for (const line of lines.slice(start + 1)) {
    if (line.startsWith("|")) rows.push(cellsOf(line));
    else if (rows.length > 0 || line.startsWith("#")) break;
  }
  if (rows.length < 3) throw new Error(`There is no table under "${heading}"`);
  return rows.slice(2);
}

function cellsOf(line: string): string[] {
  return line
    .trim()
    .replace(/^\||\|$/g, "")
    .split("|")
    .map((cell) => cell.trim());
}

/** The names written as code in a cell: "`core`, `http`" is core and http. */
export function namesIn(cell: string): readonly string[] {
  return Array.from(cell.matchAll(/`([^`]+)`/g), (match) => match[1] as string);
}

/** The folders of the folder map, without the slash at the end. */
export function parseFolderMap(markdown: string): readonly string[] {
  return tableUnder("Folders", markdown).flatMap(([folder = ""]) =>
    namesIn(folder).map((name) => name.replace(/\/$/, "")),
  );
}

/** The import table; a row is `room` | the rooms it may import. */
export function parseImportTable(markdown: string): ImportTable {
  const table = new Map<string, readonly string[]>();
  for (const [room = "", imports = ""] of tableUnder("Imports", markdown)) {
    const [name, ...more] = namesIn(room);
    if (name === undefined || more.length > 0)
      throw new Error(`A row of the import table is for one room: ${room}`);
    if (table.has(name)) throw new Error(`The import table has two rows for ${name}`);
    table.set(name, namesIn(imports));
  }
  for (const [room, imports] of table) {
    for (const name of imports) {
      if (!table.has(name)) throw new Error(`The import table lets ${room} import ${name}, which has no row`);
    }
  }
  return table;
}

/** The rooms a room may import: those of its row, and those that these may import. */
export function reachOf(room: string, table: ImportTable): ReadonlySet<string> {
  const reached = new Set<string>();
  const pending = [...(table.get(room) ?? [])];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (reached.has(next)) continue;
    reached.add(next);
    pending.push(...(table.get(next) ?? []));
  }
  if (reached.has(room)) throw new Error(`The import table lets ${room} be imported by what it imports`);
  return reached;
}
