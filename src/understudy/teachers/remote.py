"""A language model behind an HTTP endpoint as a teacher: any server that speaks OpenAI's /v1/chat/completions."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.errors import refuse
from understudy.core.files import write_atomically

Messages = list[dict[str, str]]
AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})  # a server that may yet answer
MOST = 2**24  # bytes of an answer


class Remote(nn.Module):
    """Rows in, rows out: `ask` makes a row into messages, `read` makes the answer's text into a row; x [N, ...] ... -> [N, ...]

    url: of the server, with or without /v1. key: the name of the environment variable that holds the key; it is sent and never
    shown. Rows are asked `workers` at a time. A busy or broken server is asked again, `retries` times, after 1, 2, 4 ... times
    `wait` seconds or when it says so. Every question carries a seed from torch's stream, and answers are kept by question
    and seed (in the folder `cache`, or in memory): a resumed run draws the same seeds and asks nothing twice. Raises `Refused`.
    """

    def __init__(self, url: str, model: str, ask: Callable[..., Messages], read: Callable[[str], Tensor], *,
                 key: str | None = None, timeout: float = 60.0, retries: int = 4, wait: float = 1.0, workers: int = 8, cache: str | Path | None = None,
                 temperature: float = 1.0, max_tokens: int = 256) -> None:  # fmt: skip
        super().__init__()
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise refuse("remote.url", _shown(url), "http://host:port or https://host, without name, password or query")
        if not model:
            raise refuse("remote.model", model, "the name that the server knows it by")
        for name, value, least in (
            ("timeout", timeout, 1e-3),
            ("retries", retries, 0),
            ("wait", wait, 0.0),
            ("workers", workers, 1),
        ):
            if not least <= value < math.inf:
                raise refuse(f"remote.{name}", value, f"a number of {least} or more")
        if key is not None and not os.environ.get(key):
            raise refuse("remote.key", key, "the name of an environment variable that holds the key", f"export {key}=...")
        path = parts.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/v1")
        self.url = urllib.parse.urlunsplit((parts.scheme, parts.netloc, path + "/v1/chat/completions", "", ""))
        self.model, self.ask, self.read, self.key = model, ask, read, key
        self.timeout, self.retries, self.wait, self.workers = timeout, retries, wait, workers
        self.how = {"temperature": temperature, "max_tokens": max_tokens}
        self.cache = None if cache is None else Path(cache)
        self._kept: dict[str, str] = {}

    def __deepcopy__(self, _memo: Any) -> Remote:
        return self  # nothing in it learns, and copies share what was answered

    @torch.no_grad()
    def forward(self, *x: Tensor) -> Tensor:
        seeds = torch.randint(2**31, (len(x[0]),)).tolist()
        asked = [self.ask(*row) for row in zip(*(v.cpu() for v in x), strict=True)]
        with ThreadPoolExecutor(self.workers) as pool:
            texts = list(pool.map(self.answer, asked, seeds))
        return torch.stack([self.read(text) for text in texts]).to(x[0].device)

    def answer(self, messages: Messages, seed: int) -> str:
        """What the model says to messages, from memory where it said so before."""
        question = json.dumps({"model": self.model, "messages": messages, "seed": seed} | self.how, sort_keys=True)
        name = hashlib.blake2b(f"{self.url}\n{question}".encode(), digest_size=16).hexdigest()
        kept = self.cache and self.cache / f"{name}.json"
        if name not in self._kept and kept and kept.exists():
            self._kept[name] = _text(kept.read_bytes(), str(kept))
        if name not in self._kept:
            said = self._asked(question.encode())
            self._kept[name] = _text(said, self.url)
            if kept:
                write_atomically(kept, said)
        return self._kept[name]

    def _asked(self, question: bytes) -> bytes:
        head = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {os.environ.get(self.key, '')}"} if self.key else {}
        )
        for pause in (*self._pauses(), None):
            request = urllib.request.Request(self.url, question, head, method="POST")
            try:
                with OPENER.open(request, timeout=self.timeout) as answer:
                    said: bytes = answer.read(MOST + 1)
                    if len(said) > MOST:
                        raise refuse("remote", self.url, f"an answer of at most {MOST} bytes")
                    return said
            except urllib.error.HTTPError as e:
                with e:
                    why, after = f"HTTP {e.code}: {_said(e)}", e.headers.get("Retry-After", "")
                if e.code not in AGAIN:
                    raise refuse(
                        "remote", self.url, f"an endpoint that answers ({why})", _mend(e.code, self.key, self.model)
                    ) from None
            except (OSError, TimeoutError) as e:  # no route, refused, reset, or silence
                why, after = str(getattr(e, "reason", e)) or type(e).__name__, ""
            if pause is None:
                raise refuse(
                    "remote", self.url, f"an endpoint that answers ({why}, {self.retries + 1} times)", "is the server running?"
                )
            time.sleep(max(pause, min(float(after), 60.0)) if after.isdigit() else pause)
        raise AssertionError("unreachable")

    def _pauses(self) -> Iterator[float]:
        return (self.wait * 2**i for i in range(self.retries))


class _Stay(urllib.request.HTTPRedirectHandler):
    """A key isn't carried to where a server points."""

    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(_Stay)


def _text(said: bytes, where: str) -> str:
    try:
        text = json.loads(said)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        text = None
    if not isinstance(text, str):
        raise refuse(
            "remote", where, "an answer as of /v1/chat/completions: choices[0].message.content", f"it said {said[:120]!r}"
        )
    return text


def _said(e: urllib.error.HTTPError) -> str:
    """The server's own words, in a line."""
    return " ".join(e.read(300).decode("utf-8", "replace").split()) or str(e.reason)


def _mend(code: int, key: str | None, model: str) -> str:
    if code in (401, 403):
        return f"is the key in {key} right?" if key else "give key=, the name of the environment variable that holds the key"
    return f"does the server know the model '{model}', and the path?"


def _shown(url: str) -> str:
    """Without what may be a secret."""
    return url.split("?", maxsplit=1)[0].rsplit("@", 1)[-1]
