// npm's socket.io server under the comparison's load.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { cors: { origin: "*" } });
const text = "x".repeat(256);
const bytes = Buffer.from(text);
const frame = Buffer.alloc(1024);
let number = 0;
io.on("connection", (socket) => {
  socket.join("room");
  socket.on("text", () => io.to("room").emit("m", text));
  socket.on("binary", () => io.to("room").emit("m", bytes));
  socket.on("frames", () => {
    for (const s of io.of("/").sockets.values()) {
      const own = Buffer.from(frame);
      own.writeUInt32LE(number++ >>> 0, 0);
      s.emit("frame", own);
    }
  });
});
const [host, port] = (process.argv[2] ?? "127.0.0.1:4000").split(":");
http.listen(Number(port), host);
