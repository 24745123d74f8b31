/** `balancer.fetch` and `agent.fetch`: WHATWG fetch over a dispatcher, on paths of one service or on whole URLs. */
import { type Dispatcher, FormData, Request, type RequestInit, fetch as undiciFetch } from "undici";

type Fetch = typeof globalThis.fetch;

/**
 * A fetch bound to a dispatcher; `/path` is taken to be on `authority`, and refused where there is none.
 *
 * It is undici's own fetch, whatever version the running Node has built in. Requests and form data of the
 * built-in fetch are carried over, since undici takes only its own.
 */
export function createFetch(dispatcher: Dispatcher, authority: string | undefined): Fetch {
  const base = authority === undefined ? undefined : `http://${authority}`;
  const bound = async (input: string | URL | globalThis.Request, init?: globalThis.RequestInit) => {
    const options = { ...ownInit(init), dispatcher };
    if (typeof input === "string") {
      return await undiciFetch(base === undefined ? input : new URL(input, base), options);
    }
    if (input instanceof URL) return await undiciFetch(input, options);
    return await undiciFetch(ownRequest(input), options);
  };
  // The types of undici and of the built-in fetch differ in name only.
  return bound as unknown as Fetch;
}

function ownRequest(request: globalThis.Request): Request {
  if ((request as unknown) instanceof Request) return request as unknown as Request;
  const {
    method,
    headers,
    body,
    signal,
    redirect,
    credentials,
    cache,
    mode,
    referrer,
    integrity,
    keepalive,
  } = request;
  return new Request(request.url, {
    method,
    headers: [...headers],
    signal,
    redirect,
    credentials,
    cache,
    mode: mode === "navigate" ? "cors" : mode,
    referrer,
    integrity,
    keepalive,
    ...(body === null ? {} : { body, duplex: "half" }),
  } as RequestInit);
}

function ownInit(init: globalThis.RequestInit | undefined): RequestInit {
  if (init?.body instanceof globalThis.FormData && !((init.body as unknown) instanceof FormData)) {
    return { ...init, body: ownFormData(init.body) } as unknown as RequestInit;
  }
  return init as unknown as RequestInit;
}

/** undici would send the built-in FormData as the text "[object FormData]". */
function ownFormData(form: globalThis.FormData): FormData {
  const own = new FormData();
  for (const [name, value] of form) {
    if (typeof value === "string") own.append(name, value);
    else own.append(name, value, value.name);
  }
  return own;
}
