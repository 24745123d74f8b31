/** Nacos keeps the contract of registries. */
import { registryContract } from "./contract.ts";
import { nacosSubject } from "./subjects/nacos.ts";

registryContract(nacosSubject);
