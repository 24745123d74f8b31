/** Loads an optional peer dependency when it is first needed, so that a subpath loads without it. */
import { createRequire } from "node:module";

/** @throws Error that says what to install, if the package is not there. */
export function loadPeer<Module>(name: string, subpath: string): Module {
  try {
    return createRequire(import.meta.url)(name) as Module;
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== "MODULE_NOT_FOUND") throw error;
    throw new Error(`install ${name} to use ${subpath}`, { cause: error });
  }
}
