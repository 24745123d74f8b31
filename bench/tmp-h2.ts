import { fork } from "node:child_process";
import { once } from "node:events";

const servers = fork(new URL("./servers.ts", import.meta.url), [], { execArgv: [] });
const [{ http2 }] = (await once(servers, "message")) as any;
const names = ["a bare Pool, one session", "Evenkeel's Balancer, all defaults on"];
const ws = names.map((n) =>
  fork(new URL("./call-worker.ts", import.meta.url), ["http2", n, `http://127.0.0.1:${http2}`], {
    execArgv: [],
  }),
);
const block = async (w: any, calls: number) => {
  w.send({ calls, concurrency: 32 });
  const [m] = await once(w, "message");
  return m;
};
for (const w of ws) await block(w, 10000);
const r: number[] = [];
const c: number[][] = [[], []];
for (let i = 0; i < 12; i++) {
  const a = await block(ws[0], 5000);
  const b = await block(ws[1], 5000);
  r.push(b / a);
  c[0]!.push(a);
  c[1]!.push(b);
}
const med = (x: number[]) => [...x].sort((p, q) => p - q)[x.length >> 1];
console.log("ratio", med(r), "us", med(c[0]!), med(c[1]!));
for (const w of ws) w.disconnect();
servers.disconnect();
