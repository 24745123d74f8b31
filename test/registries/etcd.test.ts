/** The contract of registries over etcd, the current one and Debian's. */
import { registryContract } from "./contract.ts";
import { etcdSubject, oldEtcdSubject } from "./subjects/etcd.ts";

registryContract(etcdSubject);
registryContract(oldEtcdSubject);
