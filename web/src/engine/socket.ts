import { io, type Socket } from 'socket.io-client';

/** One connection to the server, as the engine uses it: whole frames, both ways. */
export interface Conn {
  send(frames: readonly Uint8Array[]): void;
  close(): void;
}

/** Longer than a slow handshake over polling takes. */
const connectMS = 10_000;

/**
 * Opens one Socket.IO connection. It never reconnects by itself: the engine
 * dials anew, because a secure link does not outlive its connection.
 * WebSocket is tried first and long polling after it.
 */
export function dial(origin: string, onframe: (frame: Uint8Array) => void, onclose: (reason: string) => void): Promise<Conn> {
  return new Promise((resolve, reject) => {
    const socket: Socket = io(origin, {
      path: '/socket.io/',
      transports: ['websocket', 'polling'],
      tryAllTransports: true,
      reconnection: false,
      forceNew: true,
      timeout: connectMS,
    });
    let open = false;
    socket.on('frame', (frame: unknown) => {
      if (frame instanceof ArrayBuffer) onframe(new Uint8Array(frame));
      else if (frame instanceof Uint8Array) onframe(frame);
      else socket.disconnect();
    });
    socket.on('connect', () => {
      open = true;
      resolve({
        send: (frames) => {
          for (const frame of frames) socket.emit('frame', frame);
        },
        // The engine knows that it closed; to be told in the middle of its own call may end it there.
        close: () => {
          socket.removeAllListeners();
          socket.disconnect();
        },
      });
    });
    socket.on('connect_error', (error) => {
      socket.disconnect();
      if (!open) reject(error);
    });
    socket.on('disconnect', (reason) => {
      socket.removeAllListeners();
      onclose(reason);
    });
  });
}
