"""A chat endpoint on the loopback: a small language model behind real HTTP, which can be told to misbehave."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Endpoint:
    """answer: messages -> text. faults: taken one a request, before it answers well. asked: the requests, and their headers."""

    answer: Callable[[list[dict[str, str]], int], str]
    faults: list[Any] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextlib.contextmanager
def serve(answer: Callable[[list[dict[str, str]], int], str], *faults: Any) -> Iterator[Endpoint]:
    """faults: a status to answer with, bytes to send instead, or seconds (a float) to stay silent for."""
    point = Endpoint(answer, list(faults))

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with point.lock:  # the model isn't asked twice at once
                fault = point.faults.pop(0) if point.faults else None
                point.asked.append(body)
                point.headers.append(dict(self.headers))
                if isinstance(fault, float):
                    time.sleep(fault)
                if isinstance(fault, bytes):
                    said, status = fault, 200
                elif isinstance(fault, int):
                    said, status = b'{"error": "as told"}', fault
                elif self.path != "/v1/chat/completions" or body["model"] != "tiny":
                    said, status = b'{"error": "no such model"}', 404
                else:
                    text = point.answer(body["messages"], body["seed"])
                    said, status = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode(), 200
            with contextlib.suppress(OSError):  # whoever asked may have hung up
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()
                self.wfile.write(said)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    point.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield point
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
