/** One of the systems that run side by side: its service, its client, and the book of its calls. */
import { CallBook } from "./call-book.ts";
import type { Client } from "./client.ts";
import { totalMs } from "./options.ts";
import type { Service } from "./service.ts";

export class Lane extends CallBook {
  readonly client: Client;
  readonly service: Service;

  constructor(client: Client, service: Service) {
    super({ call: () => client.call(), longestMs: totalMs + 1_000, attempts: client.attempts });
    this.client = client;
    this.service = service;
    service.announceTo((addresses) => client.announce(addresses));
  }
}
