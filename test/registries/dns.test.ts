/** DNS keeps the contract of sources. */
import { registryContract } from "./contract.ts";
import { addressSubject, serviceRecordSubject } from "./subjects/dns.ts";

registryContract(addressSubject);
registryContract(serviceRecordSubject);
