// The server of http_proxy.py: small answers, large ones, and streams, as fast as Node gives them.
const http = require("http");
const block = Buffer.alloc(256 << 10);

async function send(response, count) {
  for (let i = 0; i < count; i++) {
    if (!response.write(block)) await new Promise((resolve) => response.once("drain", resolve));
  }
  response.end();
}

http
  .createServer(async (request, response) => {
    const [path, argument] = request.url.split("?");
    const count = Number(argument);
    if (path === "/upload") {
      request.on("data", () => {});
      request.on("end", () => response.end("done"));
    } else if (path === "/sized") {
      response.setHeader("Content-Length", count * 1048576);
      await send(response, count * 4);
    } else if (path === "/chunked") {
      response.setHeader("Content-Type", "application/octet-stream");
      await send(response, count * 4);
    } else if (path === "/events") {
      response.setHeader("Content-Type", "text/event-stream");
      for (let i = 0; i < count; i++) {
        const event = `event: message\ndata: {"jsonrpc":"2.0","method":"notifications/progress","params":{"n":${i}}}\n\n`;
        if (!response.write(event)) await new Promise((resolve) => response.once("drain", resolve));
      }
      response.end();
    } else if (path === "/ticks") {
      response.setHeader("Content-Type", "text/event-stream");
      response.flushHeaders();
      let sent = 0;
      const timer = setInterval(() => {
        response.write(`data: tick ${sent}\n\n`);
        if (++sent === count) {
          clearInterval(timer);
          response.end();
        }
      }, 50);
    } else {
      const parts = [];
      request.on("data", (part) => parts.push(part));
      request.on("end", () => {
        const body = Buffer.concat(parts);
        response.setHeader("Content-Type", "application/json");
        response.setHeader("Content-Length", body.length);
        response.end(body);
      });
    }
  })
  .listen(Number(process.env.PORT || 0), "127.0.0.1", function () {
    console.log(this.address().port);
  });
