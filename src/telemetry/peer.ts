/** Loads an optional peer dependency when it is first needed, so that a subpath loads without it. */
import { createRequire } from "node:module";

/** @throws Error that says what to install, if the package is not there. */
export function loadPeer<Module>(name: string, subpath: string): Module {
  try {
    return createRequire(import.meta.url)(name) as Module;
  } catch (error) {
    if (!isMissing(error, name)) throw error;
    throw new Error(`install ${name} to use ${subpath}`, { cause: error });
  }
}

/** Whether the package itself is missing, and not something that it needs. */
function isMissing(error: unknown, name: string): boolean {
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
  return code === "MODULE_NOT_FOUND" && String(message).startsWith(`Cannot find module '${name}'`);
}
