/** Shows that a registry without defects passes the contract, and that each defect fails it. */
import { describe, expect, it } from "vitest";
import { registryContract, registryTests } from "./contract.ts";
import { type Defect, memorySubject } from "./support/memory-subject.ts";

registryContract(memorySubject());

const keepsSet = "keeps its set while the server is dead, and tells of it";
const saysAgain = "says its set again when a dead server is back, though nothing changed";

/** Each defect, and the test that has to find it. */
const finds: Readonly<Record<Defect, string>> = {
  "misses removals": "sees instances come and go, each watcher for itself",
  "misses weights": "sees a changed weight and zone",
  "misses every hundredth change": "ends with 1,000 changes as the registry does",
  "never tells of an empty set": "tells that the last instance went, and that one came",
  "says nothing before the first instance": "begins with nothing, and sees what comes",
  "is empty while the server is dead": keepsSet,
  "says nothing of a dead server": keepsSet,
  "gives up when the server is dead": "waits for a server that is not there yet",
  "says nothing when the server is back": saysAgain,
  "stays with the old set after a wipe": "sees what changed after the server lost everything",
  "goes on after its signal is aborted": "ends when it is told to while the server is dead",
  "chokes on bad values": "leaves out what is no endpoint, tells of it, and takes the rest",
  "keeps quiet about bad values": "leaves out what is no endpoint, tells of it, and takes the rest",
  "loses the token": "goes on when its token has expired",
  "empties the set while it flaps": "follows instances that come and go ten times a second",
  "never takes out": "announces an instance beside those of others, and takes it out",
  "takes out the successor": "lets an old process go without its successor",
  "forgets at a restart": "keeps an instance announced while the server dies and comes back",
  "announces only once": "announces again what a wiped server lost, and can still take it out",
  "rejects without a server": "announces itself as soon as there is a server",
  "has no lease": "leaves it to the registry to forget what was given up",
};

describe("the contract bites", () => {
  const defects = Object.entries(finds) as [Defect, string][];
  it.concurrent.each(defects)("on a registry that %s", async (defect, name) => {
    const subject = memorySubject(defect);
    const found = registryTests(subject).filter((test) => test.name === name);
    expect(found).toHaveLength(1);
    for (const { run } of found) await expect(run(subject)).rejects.toThrow();
  });
});
