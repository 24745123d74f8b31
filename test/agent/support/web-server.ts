/** Servers with one path for each thing that a fetch can do, which say who they are. */
import { gzipSync } from "node:zlib";
import { type Answer, startServer, type TestServer } from "../../http/support/server.ts";
import { echoWebSocket } from "./web-socket-echo.ts";

/** What the paths of several servers share. */
export interface Site {
  /** Where `/to-outside` redirects to. */
  outside: string;
  /** Lets `/stream` go on after its first part. */
  release: () => void;
}

export async function startWebServer(name: string, site: Site): Promise<TestServer> {
  const server = await startServer(answers(name, site));
  server.server.on("upgrade", echoWebSocket);
  return server;
}

function answers(name: string, site: Site): Answer {
  return (request, response, arrival) => {
    switch (request.url) {
      case "/echo":
        arrival.body.then(
          (body) => {
            response.setHeader("content-type", request.headers["content-type"] ?? "");
            response.end(body);
          },
          () => response.destroy(),
        );
        return;
      case "/gzip":
        response.setHeader("content-encoding", "gzip");
        response.end(gzipSync(`${name} unpacked`));
        return;
      case "/hang":
        return;
      case "/stream":
        response.write("first ");
        site.release = () => response.end("second");
        return;
      case "/release":
        site.release();
        response.end();
        return;
      case "/to-users":
        response.writeHead(302, { location: "http://users:8443/moved" }).end();
        return;
      case "/to-outside":
        response.writeHead(302, { location: `${site.outside}/moved` }).end();
        return;
      default:
        response.end(`${name} ${request.method} ${request.url}`);
    }
  };
}
