/** Five HTTP servers in the place of `10.0.0.1:8080` to `10.0.0.5:8080`. */
import { type Setup, startServers } from "../setup.ts";

const addresses = [1, 2, 3, 4, 5].map((host) => `10.0.0.${host}:8080`);

export function start(): Promise<Setup> {
  return startServers(addresses);
}
