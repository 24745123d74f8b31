/** Consul keeps the contract of registries. */
import { registryContract } from "./contract.ts";
import { consulSubject } from "./subjects/consul.ts";

registryContract(consulSubject);
