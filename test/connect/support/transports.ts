/** The three protocols of Connect's transports, each as what makes a client of the Shop. */
import { type Client, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import type { ConnectTransportOptions } from "../../../src/connect/index.ts";
import { Shop } from "./shop.ts";

export type ShopClient = Client<typeof Shop>;

type CreateClient = (options: ConnectTransportOptions) => ShopClient;

export const protocols: Readonly<Record<"gRPC" | "gRPC-Web" | "Connect", CreateClient>> = {
  gRPC: (options) => createClient(Shop, createGrpcTransport(options)),
  "gRPC-Web": (options) => createClient(Shop, createGrpcWebTransport(options)),
  Connect: (options) => createClient(Shop, createConnectTransport(options)),
};

export const protocolNames: readonly (keyof typeof protocols)[] = ["gRPC", "gRPC-Web", "Connect"];
