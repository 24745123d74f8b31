/** Host and port of an address as instances are put, which registries hold apart. */

export function hostOf(address: string): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(`http://${address.replace(/^\w+:\/\//, "")}`);
  if (port === "") throw new Error(`"${address}" has no port`);
  return { host: hostname, port: Number(port) };
}
