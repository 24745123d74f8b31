/** Certificates for tests: an authority of the test's own, and what it issues, made by the `openssl` command. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  /** What clients have to trust, PEM. */
  readonly ca: string;
  /** A certificate for these DNS names and IP addresses, valid for `days` from now on. */
  issue(names: readonly [string, ...string[]], days?: number): Certificate;
}

const newKey = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem";

export function createAuthority(): Authority {
  const own = inFolder((folder) => {
    openssl(folder, `req -x509 ${newKey} -days 2 -subj /CN=evenkeel-test-authority -out cert.pem`);
  });
  const issue: Authority["issue"] = (names, days = 2) =>
    inFolder((folder) => {
      writeFileSync(join(folder, "authority.pem"), own.cert + own.key);
      const listed = names.map((name) => `${isIP(name) === 0 ? "DNS" : "IP"}:${name}`).join();
      openssl(
        folder,
        `req ${newKey} -subj /CN=${names[0]} -addext subjectAltName=${listed} -out request.pem`,
      );
      openssl(
        folder,
        `x509 -req -in request.pem -CA authority.pem -CAkey authority.pem -days ${days} -copy_extensions copy -out cert.pem`,
      );
    });
  return { ca: own.cert, issue };
}

/** What is made in a folder that is gone afterwards, keys and all. */
function inFolder(make: (folder: string) => void): Certificate {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-certificates-"));
  try {
    make(folder);
    return {
      cert: readFileSync(join(folder, "cert.pem"), "utf8"),
      key: readFileSync(join(folder, "key.pem"), "utf8"),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function openssl(folder: string, command: string): void {
  execFileSync("openssl", command.split(" "), { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
}
