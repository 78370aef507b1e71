"""One question over HTTP: an answer in time, or an error; nothing is carried to where a server points."""

from __future__ import annotations

import re
import time
import urllib.parse
import urllib.request
from email.utils import parsedate_to_datetime
from typing import Any

from understudy.core.errors import refuse

MOST = 2**26  # bytes of an answer


class _Stay(urllib.request.HTTPRedirectHandler):
    """A key isn't carried to where a server points."""

    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(_Stay)


def post(url: str, body: bytes, secret: str, timeout: float) -> bytes:
    """The answer's body. timeout: seconds for the whole of it, however slowly it drips.

    Raises `OSError` or `http.client.HTTPException` where none came, and `Refused` where it is too large.
    """
    until = time.monotonic() + timeout
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
            if time.monotonic() > until:
                raise TimeoutError("timed out")
        return bytes(said)  # what was cut off isn't JSON


def base(url: str) -> str:
    """http://host/v1, from what people write."""
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username or parts.query or parts.fragment or not re.fullmatch(r"[!-~]+", url):
        shown = url.split("?", maxsplit=1)[0].rsplit("@", 1)[-1]  # without what may be a secret
        raise refuse("remote.url", shown, "http://host:port or https://host, without name, password or query")
    path = parts.path.rstrip("/").removesuffix("/completions").removesuffix("/chat").removesuffix("/v1")
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path + "/v1", "", ""))


def seconds(after: str) -> float:
    """Of a Retry-After: seconds, or a date."""
    try:
        return float(after) if after.strip().isdigit() else parsedate_to_datetime(after).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
