/** Certificates for tests, made by the `openssl` command: an authority of our own, and what it signs. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateOptions {
  /** DNS names and IP addresses that it is for; the first is its common name as well. */
  readonly names: readonly [string, ...string[]];
  /** Default: a year ago to a year from now. */
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

export interface Authority extends AsyncDisposable {
  /** Its own certificate, PEM. */
  readonly ca: string;
  issue(options: CertificateOptions): Promise<Certificate>;
}

const run = promisify(execFile);
const dayMs = 86_400_000;

/** @param name tells authorities apart in error messages. */
export async function createAuthority(name = "Evenkeel tests"): Promise<Authority> {
  const folder = await mkdtemp(join(tmpdir(), "evenkeel-certificates-"));
  const openssl = async (...parameters: string[]): Promise<void> => {
    try {
      await run("openssl", parameters, { cwd: folder });
    } catch (error) {
      throw new Error(`openssl ${parameters[0]} failed; is Debian's package openssl installed?`, {
        cause: error,
      });
    }
  };
  const read = (file: string): Promise<string> => readFile(join(folder, file), "utf8");
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await openssl(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    "ca.key",
    "-out",
    "ca.pem",
    "-days",
    "365",
    "-subj",
    `/CN=${name}`,
  );
  let issued = 0;
  return {
    ca: await read("ca.pem"),
    async issue({ names, notBefore, notAfter }) {
      const file = `${issued++}`;
      const now = Date.now();
      const subjects = names.map((subject) => `${/^[\d.]+$|:/.test(subject) ? "IP" : "DNS"}:${subject}`);
      await writeFile(join(folder, `${file}.conf`), configuration(file, subjects.join(",")));
      await writeFile(join(folder, `${file}.index`), "");
      await openssl(
        ...["req", ...newKey, "-keyout", `${file}.key`, "-out", `${file}.csr`, "-subj", `/CN=${names[0]}`],
      );
      await openssl(
        ...["ca", "-batch", "-notext", "-config", `${file}.conf`, "-cert", "ca.pem"],
        ...["-keyfile", "ca.key", "-in", `${file}.csr`, "-out", `${file}.pem`, "-extensions", "names"],
        ...["-startdate", asn1Time(notBefore ?? new Date(now - 365 * dayMs))],
        ...["-enddate", asn1Time(notAfter ?? new Date(now + 365 * dayMs))],
      );
      return { cert: await read(`${file}.pem`), key: await read(`${file}.key`) };
    },
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true });
    },
  };
}

/** `20250131235959Z`. */
function asn1Time(date: Date): string {
  return `${date.toISOString().replace(/\D/g, "").slice(0, 14)}Z`;
}

/** What `openssl ca` wants to know, which alone sets both dates; each certificate has a list of its own. */
function configuration(file: string, names: string): string {
  return `
[ca]
default_ca = own
[own]
database = ${file}.index
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
[names]
subjectAltName = ${names}
`;
}
