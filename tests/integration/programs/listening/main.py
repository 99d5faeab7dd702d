"""A server behind a port that does what its path or message says, and remembers what it has seen.

Arguments: ``late SECONDS`` before it listens, ``never``, ``leave STATUS`` at once, ``v6`` for ::1 alone,
``ailing`` while its health is asked for the first three times, ``stubborn`` for no end by SIGTERM.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

seen: list[str] = []
answers: dict[object, object] = {}
asked = threading.Event()
health_asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Keep standard error for what a test looks for."""

    def do_GET(self) -> None:
        self._note()
        path, _, word = self.path.partition("?")
        if path == "/mcp":
            self._stream()
        else:
            getattr(self, f"_{path[1:]}", self._missing)(word)

    def do_POST(self) -> None:
        self._note()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/mcp":
            self._message(json.loads(body))
        else:
            self._answer(200, body)

    def do_DELETE(self) -> None:
        self._note()
        self._answer(200, b"")

    def _note(self) -> None:
        if self.path != "/seen":
            seen.append(f"{self.command} {self.path}")

    def _answer(self, status: int, body: bytes, kind: str = "application/json", **fields: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _json(self, value: object, **fields: str) -> None:
        self._answer(200, json.dumps(value).encode(), **fields)

    def _begin_events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def _event(self, value: object, *lines: str) -> None:
        text = "".join(f"{line}\n" for line in lines)
        data = "" if value is None else json.dumps(value)
        self.wfile.write(f"{text}data: {data}\n\n".encode())

    def _missing(self, _word: str) -> None:
        self._answer(404, b"{}")

    def _health(self, _word: str) -> None:
        health_asked.append("now")
        self._answer(503 if "ailing" in sys.argv and len(health_asked) <= 3 else 200, b"{}")

    def _seen(self, _word: str) -> None:
        self._json(seen)

    def _headers(self, _word: str) -> None:
        self._json(list(self.headers.items()))

    def _world(self, _word: str) -> None:
        places = {number: os.readlink(f"/proc/self/fd/{number}") for number in range(3)}
        self._json({"environment": dict(os.environ), "input": sys.stdin.read(), "places": places})

    def _print(self, word: str) -> None:
        print(word, flush=True)
        self._json("printed")

    def _sleep(self, word: str) -> None:
        print(f"sleeping {word}", flush=True)
        time.sleep(float(word))
        self._json("slept")

    def _leave(self, word: str) -> None:
        os._exit(int(word))

    def _begin(self, word: str) -> None:
        """The first half of an answer, and the end of everything."""
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"12345")
        self.wfile.flush()
        os._exit(int(word))

    def _fetch(self, word: str) -> None:
        try:
            with socket.create_connection(("127.0.0.1", int(word)), 5) as end:
                end.sendall(b"hello")
                self._json(end.recv(99).decode())
        except OSError as error:
            self._json(type(error).__name__)

    def _stream(self) -> None:
        """What a session's GET brings: what follows an event, or what the server says by itself."""
        last = self.headers.get("Last-Event-ID")
        if last is None:
            self._begin_events()
            self._event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"said": "hello"}})
            self._until_closed("feed closed")
        else:
            self._begin_events()
            self._event(_result(int(last), "after the break"), f"id: {last}")

    def _until_closed(self, word: str) -> None:
        try:
            while True:
                self.wfile.write(b": still here\n\n")
                self.wfile.flush()
                time.sleep(0.02)
        except OSError:
            seen.append(word)

    def _message(self, message: dict[str, object]) -> None:
        method, identifier = str(message.get("method", "")), message.get("id")
        seen.append(f"{method} {json.dumps(message.get('params', {}))}")
        if not method:
            answers[identifier] = message.get("result")
            asked.set()
        if not method or identifier is None:
            self._answer(202, b"")
            return
        getattr(self, f"_on_{method}", self._on_other)(identifier, message)

    def _on_other(self, identifier: object, message: dict[str, object]) -> None:
        self._json(_result(identifier, message["method"]))

    def _on_initialize(self, identifier: object, _message: object) -> None:
        time.sleep(0.1)
        result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "listening"}}
        self._json({"jsonrpc": "2.0", "id": identifier, "result": result}, Mcp_Session_Id="the-session")

    def _on_headers(self, identifier: object, _message: object) -> None:
        self._json(_result(identifier, list(self.headers.items())))

    def _on_pretty(self, identifier: object, _message: object) -> None:
        self._answer(200, json.dumps(_result(identifier, {"text": "a\nb"}), indent=2).encode())

    def _on_events(self, identifier: object, _message: object) -> None:
        self._begin_events()
        self._event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}})
        self.wfile.write(b": a comment\r\n\r\nevent: other\r\ndata: {}\r\n\r\n")
        self._event(_result(identifier, "done"))

    def _on_ask(self, identifier: object, _message: object) -> None:
        self._begin_events()
        self._event({"jsonrpc": "2.0", "id": "q", "method": "sampling/createMessage", "params": {}})
        asked.wait(10)
        self._event(_result(identifier, answers.get("q")))

    def _on_broken(self, identifier: object, _message: object) -> None:
        self._begin_events()
        self._event(None, f"id: {identifier}", "retry: 10")

    def _on_lost(self, _identifier: object, _message: object) -> None:
        self._begin_events()
        self._event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}})

    def _on_hang(self, _identifier: object, _message: object) -> None:
        self._begin_events()
        self._event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 0}})
        self._until_closed("hang closed")

    def _on_refused(self, _identifier: object, _message: object) -> None:
        error = {"code": -32602, "message": "not like this"}
        self._answer(400, json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode())

    def _on_failed(self, _identifier: object, _message: object) -> None:
        self._answer(500, b"<h1>no</h1>", "text/html")

    def _on_accepted(self, _identifier: object, _message: object) -> None:
        self._answer(202, b"")

    def _on_garbage(self, _identifier: object, _message: object) -> None:
        self._answer(200, b"\x1b[31mnot json\n{}")

    def _on_slow(self, identifier: object, _message: object) -> None:
        time.sleep(0.3)
        self._json(_result(identifier, "slow"))

    def _on_exit(self, _identifier: object, message: dict[str, object]) -> None:
        os._exit(7)


def _result(identifier: object, value: object) -> dict[str, object]:
    if identifier == "tools":
        marked = {"type": "string", "x-mcp-header": "City"}
        schema = {"type": "object", "properties": {"city": marked}}
        value = {"tools": [{"name": "weather", "inputSchema": schema}]}
    return {"jsonrpc": "2.0", "id": identifier, "result": value}


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    address_family = socket.AF_INET6 if "v6" in sys.argv else socket.AF_INET


def main() -> None:
    print("starting", file=sys.stderr, flush=True)
    if "leave" in sys.argv:
        sys.exit(int(sys.argv[sys.argv.index("leave") + 1]))
    if "never" in sys.argv:
        time.sleep(600)
    if "late" in sys.argv:
        time.sleep(float(sys.argv[sys.argv.index("late") + 1]))
    if "stubborn" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Server(("::1" if "v6" in sys.argv else "127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()


main()
