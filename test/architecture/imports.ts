/**
 * What a TypeScript module imports, by parsing it.
 *
 * Every way to reach another module counts, type-only ones included: a layer that only borrows a type from the
 * layer above still cannot be understood without it.
 */
import { parseAst } from "vitest/node";

export interface Import {
  /** Undefined when it is computed, so that nobody can tell what it reaches. */
  readonly specifier: string | undefined;
  readonly line: number;
}

interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly [field: string]: unknown;
}

/** Everything the module imports, re-exports, requires or names in a type, in the order it is written. */
export function importsOf(source: string): readonly Import[] {
  const found: Import[] = [];
  for (const node of nodesOf(source)) {
    const target = targetOf(node);
    if (target !== undefined) found.push({ specifier: target.specifier, line: lineAt(source, node.start) });
  }
  return found;
}

/** Whether the module has a default export, however it is written. */
export function hasDefaultExport(source: string): boolean {
  for (const node of nodesOf(source)) {
    if (node.type === "ExportDefaultDeclaration" || node.type === "TSExportAssignment") return true;
    if (node.type === "ExportSpecifier" && nameOf(node.exported) === "default") return true;
  }
  return false;
}

function targetOf(node: SyntaxNode): { readonly specifier: string | undefined } | undefined {
  switch (node.type) {
    case "ImportDeclaration":
    case "ExportAllDeclaration":
    case "ImportExpression":
    case "TSImportType":
      return { specifier: textOf(node.source) };
    case "ExportNamedDeclaration":
      return isNode(node.source) ? { specifier: textOf(node.source) } : undefined;
    case "TSExternalModuleReference":
      return { specifier: textOf(node.expression) };
    case "CallExpression":
      return isRequire(node.callee) ? { specifier: textOf((node.arguments as unknown[])[0]) } : undefined;
    default:
      return undefined;
  }
}

/** `require("x")` and `require.resolve("x")`. */
function isRequire(callee: unknown): boolean {
  if (!isNode(callee)) return false;
  return (
    nameOf(callee) === "require" ||
    (callee.type === "MemberExpression" && nameOf(callee.object) === "require")
  );
}

function nameOf(node: unknown): unknown {
  if (!isNode(node)) return undefined;
  return node.type === "Literal" ? node.value : node.name;
}

function textOf(node: unknown): string | undefined {
  if (!isNode(node)) return undefined;
  if (node.type === "Literal" && typeof node.value === "string") return node.value;
  // A template without a substitution is as plain as a string.
  const [text, ...more] = (node.quasis ?? []) as readonly { readonly value: { readonly cooked: string } }[];
  if (node.type === "TemplateLiteral" && more.length === 0) return text?.value.cooked;
  return undefined;
}

function nodesOf(source: string): readonly SyntaxNode[] {
  const nodes: SyntaxNode[] = [];
  collect(parseAst(source, { lang: "ts", sourceType: "module" }), nodes);
  return nodes;
}

function collect(value: unknown, into: SyntaxNode[]): void {
  if (Array.isArray(value)) {
    for (const item of value) collect(item, into);
  } else if (typeof value === "object" && value !== null) {
    if (isNode(value)) into.push(value);
    for (const field of Object.values(value)) collect(field, into);
  }
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === "object" && value !== null && "type" in value && "start" in value;
}

function lineAt(source: string, offset: number): number {
  return source.slice(0, offset).split("\n").length;
}
