/** Makes a call and a stream, closes nothing, and has to end all the same: a connection that rests keeps nobody alive. */
import { connectBalancer } from "../../../src/connect/index.ts";
import { ask } from "../support/shop.ts";
import { protocols } from "../support/transports.ts";

const shop = connectBalancer({ name: "shop", discovery: [String(process.argv[2])] });
const client = protocols.gRPC(shop.transportOptions);
await client.get(ask());
for await (const _message of client.list(ask({ messages: 2 })));
console.log("left open");
