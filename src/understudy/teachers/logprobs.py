"""Log-probabilities as servers of OpenAI's protocol give them, read into one plain shape."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from understudy.core.errors import Refused, refuse

MEND = "leave out topk= and use the texts alone"
UNKNOWN = "\ufffd".encode()  # in place of bytes that are no character by themselves
SHAPE = (LookupError, TypeError, ValueError, AttributeError, OverflowError)  # what reading an answer of another shape ends in
NEVER = -1e30  # a log-probability below is of what can't happen
ABOVE = 1e-3  # what rounding may put a log-probability above 0, and the chances of a place above 1


class NoLogprobs(Refused):
    """The server gives no log-probabilities of what was asked about; its texts may do."""


@dataclass(frozen=True)
class Guess:
    """One of the likeliest tokens at a place. bytes: None where the server doesn't tell those of half a character; id: its number
    in the server's vocabulary, where that is told."""

    text: str
    logprob: float
    bytes: bytes | None
    id: int | None = None


@dataclass(frozen=True)
class Token:
    """One token of a text: its UTF-8 bytes [start, end), its log-probability, and the likeliest tokens there, best first.

    A token whose end of a character is in the next one may be empty, or share its bytes with its neighbours, where the server
    doesn't tell the bytes. logprob is None for the very first token of a text, which nothing came before.
    """

    text: str
    start: int
    end: int
    logprob: float | None
    top: tuple[Guess, ...] = ()
    id: int | None = None


@dataclass(frozen=True)
class Written:
    """What a model wrote. tokens: None where no log-probabilities were asked for; the end-of-text token, where told, is empty
    and at the end. finish: 'stop', or 'length' where it was cut off."""

    text: str
    tokens: tuple[Token, ...] | None = None
    finish: str | None = None


def written(answer: Any, topk: int) -> Written:
    """What /v1/chat/completions answers, with its log-probabilities where topk is above 0.

    {"choices": [{"message": {"content": " a"}, "finish_reason": "stop", "logprobs": {"content": [
        {"token": " a", "bytes": [32, 97], "logprob": -0.1, "top_logprobs": [
            {"token": " a", "bytes": [32, 97], "logprob": -0.1}]}]}}]}
    The same from OpenAI, vLLM and llama.cpp (which adds "id"). Raises `Refused`; `NoLogprobs` where they are missing.
    """
    try:
        choice = answer["choices"][0]
        text, finish = choice["message"]["content"], choice.get("finish_reason")
    except SHAPE:
        text = None
    if not isinstance(text, str):
        raise refuse("remote", _short(answer), "an answer as of /v1/chat/completions: choices[0].message.content")
    if not topk:
        return Written(text, None, finish)
    try:
        tokens = [_of_chat(t, topk) for t in choice["logprobs"]["content"] or ()]
    except SHAPE:
        tokens = []
    if text and not tokens:
        raise NoLogprobs(f"remote: the server gives no log-probabilities (choices[0].logprobs.content of the chat); {MEND}")
    return Written(text, tuple(_placed(tokens, text.encode("utf-8", "replace"), last=True)), finish)


def judged(answer: Any, prompt: str, completion: str, topk: int) -> tuple[Token, ...]:
    """The tokens of `completion` in what /v1/completions answers to prompt + completion with "echo" and "logprobs".

    {"choices": [{"text": "a b c", "logprobs": {"tokens": ["a", " b", " c"], "token_logprobs": [null, -0.1, -0.2],
        "top_logprobs": [null, {" b": -0.1, " x": -3}, {" c": -0.2}], "text_offset": [0, 1, 3]}}]}
    as of OpenAI's older models and vLLM, which also has one entry a prompt token, the given token first:
        "prompt_logprobs": [null, {"262": {"logprob": -0.1, "rank": 1, "decoded_token": " b"}, ...}, ...]
    llama.cpp answers in the chat's shape and doesn't repeat the prompt. Places count from the completion's first byte; a token
    that begins in the prompt has a negative start. Raises `Refused`; `NoLogprobs` where they are missing.
    """
    try:
        choice = answer["choices"][0]
        said, given = choice["text"], choice.get("logprobs")
    except SHAPE:
        said = None
    if not isinstance(said, str):
        raise refuse("remote", _short(answer), "an answer as of /v1/completions: choices[0].text")
    if not said.startswith(prompt + completion):
        raise NoLogprobs(
            f"remote: the server gives no log-probabilities of given text: it doesn't echo (llama.cpp's doesn't); {MEND}"
        )
    try:
        tokens = [_of_chat(t, topk) for t in given["content"]] if "content" in given else _of_text(given, choice, topk)
    except SHAPE:
        raise NoLogprobs(f"remote: the server gives no log-probabilities of given text (choices[0].logprobs); {MEND}") from None
    whole = (prompt + completion).encode("utf-8", "replace")
    before = len(prompt.encode("utf-8", "replace"))
    found = [
        Token(t.text, t.start - before, t.end - before, t.logprob, t.top, t.id)
        for t in _placed(tokens, whole, last=False)
        if (t.end > before or t.start == before) and t.start < len(whole)  # an empty one belongs to the character it begins
    ]
    if any(t.logprob is None and t.start > -before for t in found):
        raise NoLogprobs(f"remote: the server echoes the text without its log-probabilities; {MEND}")
    return tuple(found)


@dataclass(frozen=True)
class _Raw:
    text: str
    bytes: bytes
    logprob: float | None
    top: tuple[Guess, ...]
    id: int | None = None


def _of_chat(t: Any, topk: int) -> _Raw:
    top = [_guess(g["token"], g["logprob"], g.get("bytes"), g.get("id")) for g in t.get("top_logprobs") or ()]
    own = _chance(t["logprob"])
    if own is None:
        raise ValueError("a token without its log-probability")
    return _Raw(t["token"], _bytes(t["token"], t.get("bytes")), own, _best(top, topk), t.get("id"))


def _of_text(given: Any, choice: Any, topk: int) -> list[_Raw]:
    found = []
    ids = choice.get("prompt_logprobs") or ()
    tops = given.get("top_logprobs") or [None] * len(given["tokens"])
    for i, (text, p, top) in enumerate(zip(given["tokens"], given["token_logprobs"], tops, strict=True)):
        own, guesses = None, [_guess(word, q) for word, q in (top or {}).items()]
        if i < len(ids) and ids[i]:  # by number: two tokens may read the same
            own = int(next(iter(ids[i])))
            guesses = [_guess(g.get("decoded_token") or "", g["logprob"], None, int(n)) for n, g in ids[i].items()]
        found.append(_Raw(text, _bytes(text, None), None if p is None else _chance(p), _best(guesses, topk), own))
    return found


def _guess(text: str, logprob: Any, told: list[int] | None = None, number: int | None = None) -> Guess | None:
    data, p = _bytes(text, told), _chance(logprob)
    return None if p is None else Guess(text, p, None if not data or UNKNOWN in data else data, number)


def _best(guesses: list[Guess | None], topk: int) -> tuple[Guess, ...]:
    """The likeliest (some servers give the token itself besides). Raises `ValueError` where they are likelier than all there is."""
    best = tuple(sorted(filter(None, guesses), key=lambda g: -g.logprob)[:topk])
    if sum(math.exp(g.logprob) for g in set(best)) > 1 + 10 * ABOVE:
        raise ValueError("chances of more than 1")
    return best


def _chance(x: Any) -> float | None:
    """A log-probability; None of what can't happen. Raises `ValueError` for what is none: NaN, a word, a chance above 1."""
    if not isinstance(x, (int, float)) or isinstance(x, bool) or not x <= ABOVE:
        raise ValueError(f"{x!r} as a log-probability")
    return None if x < NEVER else min(float(x), 0.0)


def _bytes(text: str, told: list[int] | None) -> bytes:
    if told is not None:
        return bytes(list(told))  # of a number it would be as many zeros
    if re.fullmatch(r"bytes:(\\x[0-9a-f]{2})+", text):  # OpenAI's older models, of half a character
        return bytes.fromhex(text.removeprefix("bytes:").replace("\\x", ""))
    return text.encode("utf-8", "replace")


def _placed(tokens: list[_Raw], text: bytes, last: bool) -> list[Token]:
    """The tokens that are in the text, and where. last: thoughts that aren't shown may come first, and repeat it."""
    pieces = [t.bytes for t in tokens]
    spans = _spelled(pieces, text, last) or _walked(pieces, text)
    if spans is None:
        raise refuse("remote", _short([t.text for t in tokens]), f"tokens that spell the text, {_short(text.decode())}", MEND)
    found = [
        Token(t.text, min(max(a, 0), len(text)), min(b, len(text)), t.logprob, t.top, t.id)
        for t, (a, b) in zip(tokens, spans, strict=True)
        if b > 0 or (a == b == 0 and t.logprob is not None)
    ]
    return found


def _spelled(pieces: list[bytes], text: bytes, last: bool) -> list[tuple[int, int]] | None:
    """Where the tokens' bytes, one after the other, hold the text; what stands before it has places below 0."""
    whole, ends = b"".join(pieces), [0]
    for piece in pieces:
        ends.append(ends[-1] + len(piece))
    starts = [0] if whole.startswith(text) else [a for a in ends if whole.startswith(text, a)]
    at = (starts[-1] if last else starts[0]) if starts else whole.rfind(text) if last else whole.find(text)
    return None if at < 0 else [(a - at, b - at) for a, b in pairwise(ends)]


def _walked(pieces: list[bytes], text: bytes) -> list[tuple[int, int]] | None:
    """Token by token, where some don't show their bytes or have lost the blank that they begin with."""
    spans: list[tuple[int, int]] = []
    at = i = 0
    while i < len(pieces):
        piece, until = pieces[i], i + 1
        if text.startswith(piece, at):
            a, b = at, at + len(piece)
        elif _hidden(piece):  # up to the next one that shows itself; they share what lies between
            while until < len(pieces) and (not pieces[until] or _hidden(pieces[until])):
                until += 1
            least = sum(len(p) - (len(UNKNOWN) - 1) * p.count(UNKNOWN) for p in pieces[i:until])
            found = text.find(pieces[until], at + least) if until < len(pieces) else -1
            a, b = at, found if found >= 0 else len(text)
        elif text[at : at + 1] == b" " and text.startswith(piece, at + 1):
            a, b = at, at + 1 + len(piece)
        elif at == len(text):
            a = b = at
        elif at == 0:
            a = b = -1  # a sign that the text begins
        else:
            return None
        spans += [(a, b)] * (until - i)
        at, i = max(b, 0), until
    beyond = sum(a == len(text) for a, _ in spans)  # the sign that it ends, or the one token that is written after given text
    return spans if not text[at:].replace(UNKNOWN, b"") and beyond <= 1 else None


def _hidden(piece: bytes) -> bool:
    """Whether it is, or stands for, half a character."""
    return UNKNOWN in piece or piece.decode("utf-8", "ignore").encode() != piece


def _short(x: object) -> str:
    said = str(x)
    return said if len(said) <= 120 else said[:117] + "..."
