"""A server of OpenAI's protocol on the loopback: real HTTP, a small language model behind it, dialects, and faults on demand."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
from torch import Tensor

Answer = Callable[[list[dict[str, str]], int], str]
Reply = dict[str, Any] | int  # what is answered, or a status
BEGIN, END = b"<s>", b"</s>"


class LanguageModel:
    """A recurrent network over letters, some words, and halves of characters; its weights are drawn, its chances are real."""

    def __init__(self) -> None:
        letters = [bytes([c]) for c in b"abcdefghijklmnopqrstuvwxyz .,:?\n"]
        self.pieces = [
            BEGIN,
            END,
            *letters,
            b" the",
            b" cat",
            b"ing",
            "é".encode(),
            b"\xf0\x9f",
            b"\x98\x80",
            b" \xf0\x9f",
            b"\x98\x81",
        ]
        with torch.random.fork_rng():
            torch.manual_seed(7)
            self.embed, self.net = torch.nn.Embedding(len(self.pieces), 16), torch.nn.GRU(16, 32, batch_first=True)
            self.head = torch.nn.Linear(32, len(self.pieces))

    def tokens(self, text: bytes) -> list[int]:
        """The longest piece first."""
        ids, at = [], 0
        while at < len(text):
            ids.append(
                max((i for i, p in enumerate(self.pieces) if i > 1 and text.startswith(p, at)), key=lambda i: len(self.pieces[i]))
            )
            at += len(self.pieces[ids[-1]])
        return ids

    @torch.no_grad()
    def logprobs(self, ids: list[int]) -> Tensor:
        """Of every token at every place after the sign that a text begins, [T+1, V]."""
        hidden, _ = self.net(self.embed(torch.tensor([[0, *ids]])))
        return (4 * self.head(hidden[0])).log_softmax(-1)

    def continued(self, ids: list[int], seed: int, most: int) -> list[int]:
        """Drawn token by token; the second half of a character comes after the first."""
        chance, wrote = torch.Generator().manual_seed(seed), list[int]()
        for _ in range(most):
            p, half = self.logprobs(ids + wrote)[-1].exp(), self.pieces[(ids + wrote or [0])[-1]].endswith(b"\xf0\x9f")
            allowed = torch.tensor([(q[0] == 0x98) == half and q != BEGIN for q in self.pieces])
            wrote.append(int(torch.multinomial(p * allowed, 1, generator=chance)))
            if self.pieces[wrote[-1]] == END:
                break
        if wrote and self.pieces[wrote[-1]].endswith(b"\xf0\x9f"):
            wrote[-1] = self.tokens(b".")[0]
        return wrote


@dataclass
class Speaker:
    """The model as a server shows it.

    dialect: openai, vllm, vllm-old (half characters are replaced), llama.cpp, or texts (no log-probabilities).
    """

    model: LanguageModel
    dialect: str = "openai"
    usage: bool = True

    def __call__(self, path: str, body: dict[str, Any]) -> Reply:
        if path == "/v1/chat/completions":
            return self.chat(body)
        return self.completion(body) if path == "/v1/completions" else 404

    def prompt(self, messages: list[dict[str, str]]) -> list[int]:
        return self.model.tokens("\n".join(m["content"] for m in messages).encode())

    def chat(self, body: dict[str, Any]) -> Reply:
        before = self.prompt(body["messages"])
        wrote = self.model.continued(before, body["seed"], body["max_tokens"])
        ended = self.model.pieces[wrote[-1]] == END
        shown = wrote[:-1] if ended else wrote
        choice = {"message": {"role": "assistant", "content": self.text(shown)}, "finish_reason": "stop" if ended else "length"}
        if body.get("logprobs") and self.dialect != "texts":
            told = wrote if self.dialect.startswith("vllm") else shown
            rows = self.model.logprobs(before + wrote)[len(before) :]
            names = self.names(told)
            choice["logprobs"] = {"content": [self.of_chat(i, n, r, body["top_logprobs"]) for i, n, r in zip(told, names, rows)]}
        return {"choices": [choice]} | self.cost(before, wrote)

    def of_chat(self, i: int, name: str, row: Tensor, k: int) -> dict[str, Any]:
        top = [
            {"token": self.name(j), "bytes": self.bytes(j, self.name(j)), "logprob": float(row[j])}
            for j in row.topk(k).indices.tolist()
        ]
        return {"token": name, "bytes": self.bytes(i, name), "logprob": float(row[i]), "top_logprobs": top} | (
            {"id": i} if self.dialect == "llama.cpp" else {}
        )

    def completion(self, body: dict[str, Any]) -> Reply:
        before = self.model.tokens(body["prompt"].encode())
        wrote = self.model.continued(before, 0, body["max_tokens"])
        rows, k = self.model.logprobs(before + wrote), body["logprobs"]
        if self.dialect == "llama.cpp":  # no echo
            lp: Any = {"content": [self.of_chat(i, self.name(i), r, k) for i, r in zip(wrote, rows[len(before) :])]}
            return {"choices": [{"text": self.text(wrote), "logprobs": lp}]} | self.cost(before, wrote)
        text = body["prompt"] + self.text(wrote)
        if self.dialect == "texts":
            return {"choices": [{"text": text, "logprobs": None}]} | self.cost(before, wrote)
        ids, first = before + wrote, ["<s>"] * self.dialect.startswith("vllm")
        values: list[float | None] = [float(r[i]) for i, r in zip(ids, rows)]
        tops: list[Any] = [{self.name(j): float(r[j]) for j in [i, *r.topk(k).indices.tolist()]} for i, r in zip(ids, rows)]
        if not first:  # nothing is before the first token, so nothing is known of it
            values[0] = tops[0] = None
        lp = {
            "tokens": first + self.names(ids),
            "token_logprobs": [None] * len(first) + values,
            "top_logprobs": [None] * len(first) + tops,
        }
        told = {}
        if first:
            entry = lambda j, r: {"logprob": float(r[j]), "rank": 1 + int((r > r[j]).sum()), "decoded_token": self.name(j)}
            told["prompt_logprobs"] = [None] + [
                {str(j): entry(j, r) for j in [i, *r.topk(k).indices.tolist()]} for i, r in zip(before, rows)
            ]
        return {"choices": [{"text": text, "logprobs": lp} | told]} | self.cost(before, wrote)

    def text(self, ids: list[int]) -> str:
        return b"".join(self.model.pieces[i] for i in ids if i > 1).decode("utf-8", "replace")

    def name(self, i: int) -> str:
        """A token by itself."""
        piece = self.model.pieces[i]
        try:
            return piece.decode()
        except UnicodeDecodeError:
            if self.dialect == "openai":
                return "bytes:" + "".join(f"\\x{c:02x}" for c in piece)
            return "" if self.dialect == "vllm" else piece.decode("utf-8", "replace")

    def names(self, ids: list[int]) -> list[str]:
        """Tokens in a row: vLLM gives a character to the token that ends it."""
        if self.dialect != "vllm":
            return [self.name(i) for i in ids]
        names, held = [], b""
        for i in ids:
            held += self.model.pieces[i]
            whole = held.decode("utf-8", "ignore")
            held = held[len(whole.encode()) :]
            names.append(whole)
        return names

    def bytes(self, i: int, name: str) -> list[int]:
        return list(name.encode() if self.dialect.startswith("vllm") else self.model.pieces[i])

    def cost(self, before: list[int], wrote: list[int]) -> dict[str, Any]:
        return {"usage": {"prompt_tokens": len(before) + 1, "completion_tokens": len(wrote)}} if self.usage else {}


@dataclass
class Endpoint:
    """faults: taken one a request, before it answers well. asked: the requests, paths and headers, as they came."""

    faults: list[Any] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextlib.contextmanager
def serve(answer: Answer | Speaker, *faults: Any) -> Iterator[Endpoint]:
    """answer: messages and a seed -> text, or a language model with all it can tell.

    faults: a status; a status, its headers, and perhaps its words; bytes to send instead; seconds (a float) to stay silent for;
    'drop' hangs up, 'noise' speaks no HTTP, 'half' hangs up in the middle, 'cut' sends half an answer as if it were whole,
    'drip' a byte at a time.
    """
    point = Endpoint(list(faults))

    def replied(path: str, body: dict[str, Any]) -> Reply:
        if body["model"] != "tiny":
            return 404
        if isinstance(answer, Speaker):
            return answer(path, body)
        if path != "/v1/chat/completions":
            return 404
        return {"choices": [{"message": {"role": "assistant", "content": answer(body["messages"], body["seed"])}}]}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with point.lock:
                fault = point.faults.pop(0) if point.faults else None
                point.asked.append(body)
                point.headers.append(dict(self.headers))
            if isinstance(fault, float):
                time.sleep(fault)
            with point.lock:  # the model isn't asked twice at once
                status, head, *words = fault if isinstance(fault, tuple) else (fault if isinstance(fault, int) else 200, {})
                if isinstance(fault, bytes):
                    said = fault
                elif status == 200 and not isinstance(reply := replied(self.path, body), int):
                    said = json.dumps(reply).encode()
                else:
                    status = status if status != 200 else 404
                    said = words[0] if words else b'{"error": "as told"}' if fault else b'{"error": "no such model"}'
            if fault == "drop":
                return
            if fault == "noise":
                self.wfile.write(b"this is no HTTP\r\n\r\n")
                return
            if fault == "cut":
                said = said[: len(said) // 2]
            with contextlib.suppress(OSError):  # whoever asked may have hung up
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                for name, value in head.items():
                    self.send_header(name, value)
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()
                if fault == "drip":
                    for byte in said:
                        self.wfile.write(bytes([byte]))
                        time.sleep(0.02)
                self.wfile.write(said[: len(said) // 2] if fault == "half" else said if fault != "drip" else b"")

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
