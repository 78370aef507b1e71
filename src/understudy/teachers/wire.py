"""One question over HTTP: an answer in time, or an error; nothing is carried to where a server points."""

from __future__ import annotations

import http.client
import io
import re
import time
import urllib.parse
import urllib.request
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from understudy.core.errors import refuse

MOST = 2**26  # bytes of an answer


class _Stay(urllib.request.HTTPRedirectHandler):
    """A key isn't carried to where a server points."""

    def redirect_request(self, *_: Any) -> None:
        return None


class _Dated(io.RawIOBase):
    """A socket's bytes, as long as there is time: a timeout of a socket begins anew with every byte."""

    def __init__(self, raw: Any, sock: Any, until: float) -> None:
        self.raw, self.sock, self.until = raw, sock, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.sock.settimeout(left)
        read: int = self.raw.readinto(buffer)
        return read

    def close(self) -> None:
        self.raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, until: float, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.fp = io.BufferedReader(_Dated(self.fp.detach(), sock, until))


class _InTime:
    """A connection whose answer, its head too, comes before the time is over."""

    def connect(self) -> None:
        until = time.monotonic() + self.timeout  # type: ignore[attr-defined]
        super().connect()  # type: ignore[misc]
        self.response_class = partial(_Answer, until=until)


class _Plain(_InTime, http.client.HTTPConnection):
    pass


class _Secure(_InTime, http.client.HTTPSConnection):
    pass


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: Any) -> Any:
        return self.do_open(_Plain, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: Any) -> Any:
        return self.do_open(_Secure, req)


OPENER = urllib.request.build_opener(_Stay, _Http, _Https)


def post(url: str, body: bytes, secret: str, timeout: float) -> bytes:
    """The answer's body. timeout: seconds for the whole of it, however slowly it drips.

    Raises `OSError` or `http.client.HTTPException` where none came, and `Refused` where it is too large.
    """
    head = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {secret}"} if secret else {})
    with OPENER.open(urllib.request.Request(url, body, head, method="POST"), timeout=timeout) as answer:
        said, length = bytearray(), answer.length  # None: until the connection ends
        while length is None or len(said) < length:
            piece = answer.read1(2**16)
            said += piece
            if len(said) > MOST:
                raise refuse("remote", url, f"an answer of at most {MOST} bytes", "lower max_tokens= or topk=")
            if not piece:
                break
        return bytes(said)  # what was cut off isn't JSON


def base(url: str) -> str:
    """http://host/v1, from what people write."""
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in parts.netloc or parts.query or parts.fragment or not re.fullmatch(r"[!-~]+", url):
        shown = re.split(r"[?#\s]", url, maxsplit=1)[0].rsplit("@", 1)[-1]  # without what may be a secret
        raise refuse("remote.url", shown, "http://host:port or https://host, without name, password or query")
    path = parts.path.rstrip("/").removesuffix("/completions").removesuffix("/chat").removesuffix("/v1")
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path + "/v1", "", ""))


def seconds(after: str) -> float:
    """Of a Retry-After: seconds, or a date."""
    try:
        return float(after) if after.strip().isdigit() else parsedate_to_datetime(after).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
