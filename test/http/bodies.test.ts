/** Every kind of request body arrives complete and once. */
import { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import { expect, test } from "vitest";
import { expectIdle, expectNoBlame, rejection, startBalancer } from "./support/balancers.ts";
import { formBody, plainBodies } from "./support/bodies.ts";
import { refusingAddress, startServer } from "./support/server.ts";

type Body = Dispatcher.DispatchOptions["body"];

const text = `naïve ${"0123456789".repeat(100)} end`;

test.each(["POST", "PUT", "DELETE"])("no body by %s", async (method) => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  for (const body of [undefined, null, ""] as const) {
    const answer = await balancer.request({ path: "/", method, body: body as Body });
    await answer.body.text();
  }
  for (const arrival of server.arrivals) {
    expect(String(await arrival.body)).toBe("");
    expect(arrival.headers["transfer-encoding"]).toBeUndefined();
  }
  expect(server.arrivals).toHaveLength(3);
});

for (const method of ["POST", "PUT"] as const) {
  test.each(plainBodies)(`${method} with $kind`, async ({ make }) => {
    await using server = await startServer();
    await using balancer = startBalancer([server]);
    const { body } = await balancer.request({ path: "/", method, body: make(text) as Body });
    expect(await body.text()).toBe("ok");
    expect(server.arrivals).toHaveLength(1);
    expect(String(await server.arrivals[0]?.body)).toBe(text);
    await expectIdle(balancer);
  });

  test(`${method} with FormData`, async () => {
    await using server = await startServer();
    await using balancer = startBalancer([server]);
    const { body } = await balancer.request({ path: "/", method, body: formBody.make(text) as Body });
    await body.text();
    const arrived = String(await server.arrivals[0]?.body);
    expect(arrived).toContain(`name="field"\r\n\r\n${text}\r\n`);
    expect(arrived).toContain(`\r\n\r\n${text}\r\n--`);
    expect(server.arrivals[0]?.headers["content-type"]).toMatch(/^multipart\/form-data/);
  });

  test(`${method} by fetch with URLSearchParams, FormData and a stream`, async () => {
    await using server = await startServer();
    await using balancer = startBalancer([server]);
    const form = new FormData();
    form.append("a", text);
    const init = { duplex: "half" } as object;
    for (const body of [new URLSearchParams({ a: "1 2" }), form, ReadableStream.from([Buffer.from(text)])]) {
      await (await balancer.fetch("/", { ...init, method, body: body as ReadableStream })).text();
    }
    const [search, multipart, stream] = await Promise.all(server.arrivals.map(({ body }) => body));
    expect(String(search)).toBe("a=1+2");
    expect(server.arrivals[0]?.headers["content-type"]).toBe(
      "application/x-www-form-urlencoded;charset=UTF-8",
    );
    expect(String(multipart)).toContain(text);
    expect(String(stream)).toBe(text);
  });
}

test("a body with a declared length is sent with it", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const headers = { "content-length": String(Buffer.byteLength(text)) };
  for (const method of ["PUT", "POST"] as const) {
    const body = Readable.from([Buffer.from(text)]);
    await (await balancer.request({ path: "/", method, headers, body })).body.text();
  }
  for (const arrival of server.arrivals) {
    expect(arrival.headers).toMatchObject(headers);
    expect(arrival.headers["transfer-encoding"]).toBeUndefined();
    expect(String(await arrival.body)).toBe(text);
  }
});

test("a large body flows without being kept whole", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const chunk = Buffer.alloc(64 * 1_024, 1);
  async function* large(): AsyncGenerator<Buffer> {
    for (let index = 0; index < 256; index++) yield chunk;
  }
  await (await balancer.request({ path: "/", method: "PUT", body: Readable.from(large()) })).body.text();
  expect((await server.arrivals[0]?.body)?.length).toBe(256 * chunk.length);
});

const thrown = new Error("cannot read the file");

async function* throwing(): AsyncGenerator<Buffer> {
  yield Buffer.from("first");
  await new Promise((resolve) => setImmediate(resolve));
  throw thrown;
}

test.each<[string, string, () => unknown]>(
  ["PUT", "POST"].flatMap((method) => [
    [method, "an async generator", throwing],
    [method, "a Readable", () => Readable.from(throwing())],
    [method, "a web stream", () => ReadableStream.from(throwing())],
    [
      method,
      "a sync generator",
      function* () {
        yield Buffer.from("first");
        throw thrown;
      },
    ],
  ]),
)("%s with %s that throws: the caller's error, and no node is blamed", async (method, _, make) => {
  await using one = await startServer();
  await using two = await startServer();
  await using balancer = startBalancer([one, two]);
  const error = await rejection(balancer.request({ path: "/", method, body: make() as Body }));
  expect(error).toBe(thrown);
  await expectIdle(balancer);
  expectNoBlame(balancer);
  expect(one.arrivals.length + two.arrivals.length).toBeLessThanOrEqual(1);
});

test.each(["PUT", "POST"])("%s with a stream that fails at once is the caller's error", async (method) => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const body = new Readable({ read() {} });
  const failing = rejection(balancer.request({ path: "/", method, body }));
  body.destroy(thrown);
  expect(await failing).toBe(thrown);
  const again = rejection(balancer.request({ path: "/", method, body }));
  expect(await again).toBe(thrown);
  await expectIdle(balancer);
  expectNoBlame(balancer);
});

test.each(["PUT", "POST"])("%s with a stream that fails while the call waits ends it", async (method) => {
  const waiting: [string, Parameters<typeof startBalancer>][] = [
    [
      "for discovery",
      [
        [],
        {
          discovery: {
            watch: async function* () {
              await new Promise(() => {});
            },
          },
        },
      ],
    ],
    [
      "for its next attempt",
      // A random wait could be over before the stream fails.
      [[await refusingAddress()], { retry: { backoffMs: 5_000, maxBackoffMs: 5_000 }, random: () => 0.9 }],
    ],
  ];
  for (const [, args] of waiting) {
    await using balancer = startBalancer(...args);
    const body = new Readable({ read() {} });
    body.push("first");
    const failing = rejection(balancer.request({ path: "/", method, body }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    body.destroy(thrown);
    expect(await failing).toBe(thrown);
    await expectIdle(balancer);
  }
});

test.each(["PUT", "POST"])("%s with chunks of a wrong type is the caller's error", async (method) => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const error = await rejection(balancer.request({ path: "/", method, body: [1, 2] as unknown as Body }));
  expect(error).toBeInstanceOf(TypeError);
  await expectIdle(balancer);
  expectNoBlame(balancer);
});
