/**
 * The registry servers of these tests, each to be started, killed, restarted and wiped.
 *
 * `scripts/servers` installs them. Each runs as a real process on free ports of 127.0.0.1 with its data in a temporary
 * folder, and goes when it is disposed of, or with this process.
 */
export { type ConsulOptions, type ConsulServer, startConsul } from "./consul-server.ts";
export { type DnsRecords, type DnsServer, startDnsmasq } from "./dns-server.ts";
export { base64, type EtcdOptions, type EtcdServer, startEtcd, startEtcdCluster } from "./etcd-server.ts";
export { findServer } from "./find-server.ts";
export { type NacosOptions, type NacosServer, startNacos } from "./nacos-server.ts";
export type { RegistryServer } from "./server-process.ts";
