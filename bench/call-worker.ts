/**
 * Makes blocks of calls through one system and tells what CPU time each took. One process a system, as in a real
 * program: what V8 learned about one system's objects must not slow another's.
 *
 * Arguments: the group's and the system's name, and the addresses of the servers.
 */
import { groups } from "./call-systems.ts";

const [group = "", name = "", ...addresses] = process.argv.slice(2);
const create = groups[group]?.[name];
if (create === undefined) throw new Error(`no system "${name}"`);
const system = create(addresses);
const answerBytes = Buffer.byteLength(JSON.stringify({ id: 42, state: "shipped", items: [1, 2, 3] }));

/** CPU microseconds per call. The answers' bytes are checked after the timed part. */
async function block(calls: number, concurrency: number): Promise<number> {
  let started = 0;
  let bytes = 0;
  const caller = async () => {
    while (started < calls) {
      started++;
      const length = await system.call();
      bytes += length;
    }
  };
  const before = process.cpuUsage();
  await Promise.all(Array.from({ length: concurrency }, caller));
  const { user, system: kernel } = process.cpuUsage(before);
  if (bytes !== calls * answerBytes) throw new Error(`${name}: ${bytes} bytes came for ${calls} calls`);
  return (user + kernel) / calls;
}

process.on("message", ({ calls, concurrency }: { readonly calls: number; readonly concurrency: number }) => {
  block(calls, concurrency).then(
    (microseconds) => process.send?.(microseconds),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit(0));
