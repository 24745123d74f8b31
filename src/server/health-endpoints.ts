/** The two endpoints that orchestrators and load balancers ask, and what they are told. */

export interface HealthPaths {
  /** Whether the process lives: 200 for as long as it answers. An orchestrator restarts it when it does not. */
  readonly live: string;
  /** Whether it is to get calls: 200, and 503 from the moment on in which it drains. */
  readonly ready: string;
}

export interface HealthAnswer {
  readonly status: number;
  readonly text: string;
}

/** The answer, or undefined for what is no question of health. A drain ends readiness, never liveness. */
export function healthAnswer(
  paths: HealthPaths | undefined,
  method: string | undefined,
  url: string | undefined,
  isDraining: boolean,
): HealthAnswer | undefined {
  if (paths === undefined || url === undefined || (method !== "GET" && method !== "HEAD")) return undefined;
  if (isPath(url, paths.live)) return { status: 200, text: "live\n" };
  if (!isPath(url, paths.ready)) return undefined;
  return isDraining ? { status: 503, text: "draining\n" } : { status: 200, text: "ready\n" };
}

function isPath(url: string, path: string): boolean {
  return url.startsWith(path) && (url.length === path.length || url[path.length] === "?");
}
