import { createServer, request as ask } from 'node:http';

/** Something between a browser and the server that lets pass what it is told to. */
export interface Proxy {
  readonly url: string;
  /** WebSocket upgrades that were refused. */
  refused(): number;
  /** Ends what is open for the socket and answers nothing more of it, or lets it through again; pages and scripts always pass. */
  cut(on: boolean): void;
  stop(): Promise<void>;
}

/** Starts a proxy that lets no WebSocket through, as some companies' do. */
export async function noWebSocket(target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target);
  let refused = 0;
  let severed = false;
  const server = createServer((request, response) => {
    if (severed && request.url?.startsWith('/socket.io/')) {
      response.destroy();
      return;
    }
    const through = ask({ host: hostname, port, path: request.url, method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    through.on('error', () => response.destroy());
    request.pipe(through);
  });
  server.on('upgrade', (_request, socket) => {
    refused++;
    socket.destroy();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
    refused: () => refused,
    cut: (on) => {
      severed = on;
      if (on) server.closeAllConnections();
    },
    stop: () => {
      server.closeAllConnections();
      return new Promise((done) => server.close(() => done()));
    },
  };
}
