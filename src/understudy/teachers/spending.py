"""What a teacher that is paid by the token may cost, and what it has cost: a limit that holds, and a ledger that remembers."""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.core.errors import Refused, refuse

try:
    import fcntl
except ImportError:  # not a system of POSIX: then one process at a time is the user's to see to
    fcntl = None  # type: ignore[assignment]

UNITS = ("requests", "tokens")  # what a limit counts; a number without a unit is money


@dataclass(frozen=True)
class Budget:
    """At most so many requests sent, tokens (in and out together), and money. None is no limit.

    price: (in, out), of a million tokens; what `money` is counted by, in the same currency.
    """

    requests: int | None = None
    tokens: int | None = None
    money: float | None = None
    price: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for unit in (*UNITS, "money"):
            limit = getattr(self, unit)
            if limit is not None and not _counts(limit):
                raise refuse("budget", limit, f"{unit}: a number of 0 or more")
        if self.price is not None and not (len(self.price) == 2 and all(map(_counts, self.price))):
            raise refuse("price", self.price, "two numbers of 0 or more")
        if self.money is not None and self.price is None:
            raise refuse("budget", self.money, "money needs a price", "give price=<in>/<out>, of a million tokens each")

    @classmethod
    def read(cls, limits: str = "", price: str = "") -> Budget:
        """From words: limits '500requests,2000000tokens,5' (a bare number is money), price '0.15/0.60'."""
        found: dict[str, float] = {}
        for word in filter(None, limits.split(",")):
            unit = next((u for u in UNITS if word.endswith(u)), "money")
            number = _number(word.removesuffix(unit))
            if unit in found or not 0 <= number < math.inf or (unit != "money" and number != int(number)):
                raise refuse(
                    "budget", limits, "requests, tokens and money (a bare number), each once", "as in 500requests,2000000tokens,5"
                )
            found[unit] = number
        both = tuple(_number(p) for p in price.split("/")) if price else None
        if both is not None and (len(both) != 2 or not all(0 <= p < math.inf for p in both)):
            raise refuse("price", price, "<in>/<out>, of a million tokens each", "as in 0.15/0.60")
        whole = {unit: int(found[unit]) for unit in UNITS if unit in found}
        return cls(whole.get("requests"), whole.get("tokens"), found.get("money"), both and (both[0], both[1]))


@dataclass(frozen=True)
class Spent:
    """What was asked for so far. guessed: requests counted at their most, as the server gave no usage or no answer."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    guessed: int = 0
    money: float | None = None  # at the budget's price

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    def __str__(self) -> str:
        money = "" if self.money is None else f", {self.money:.6g} of money"
        guessed = f" ({self.guessed} of them without usage from the server, counted at their most)" if self.guessed else ""
        return f"{self.requests:,} requests{guessed}, {self.tokens_in:,} tokens in and {self.tokens_out:,} out{money}"


class Ledger:
    """Counts what is spent against a budget, before it is spent; thread-safe.

    Every request is written down at the most it can cost before it is sent, and again at what it did cost. The lines are
    appended to the file `path`, so a run that was killed has forgotten nothing, and several processes share one limit.
    """

    def __init__(self, budget: Budget | None = None, path: Path | None = None) -> None:
        self.budget, self.path = budget or Budget(), path
        self._turn = threading.Condition()
        self._open: dict[str, list[int]] = {}  # asked, not yet settled: here, elsewhere, or by a run that died
        self._here: set[str] = set()
        self._sums = [0, 0, 0, 0]  # requests, tokens in, tokens out, guessed
        self._seen = 0  # bytes of the file

    @property
    def spent(self) -> Spent:
        """All so far; what is under way counts at its most."""
        with self._turn:
            self._catch_up()
            return self._total()

    def ask(self, most_in: int, most_out: int) -> str:
        """Leave to send one request; give the answer to `settle`. Where the budget is reached only if all requests under way
        cost their most, waits for them. Raises `Refused`."""
        with self._turn:
            name = uuid.uuid4().hex[:16]
            while True:
                with locked(self.path and self.path.with_name(f".{self.path.stem}.lock")):
                    self._catch_up()
                    over = self._over(most_in, most_out)
                    if not over:
                        self._here.add(name)
                        self._note({"asked": name, "in": most_in, "out": most_out})
                        return name
                if not self._here:
                    kept = f"; what is in {self.path.parent} costs nothing" if self.path else ""
                    raise Refused(
                        f"remote.budget: {over}; spent so far: {self._total()}; raise budget= to go on{kept}",
                    )
                self._turn.wait()

    def settle(self, name: str, cost: tuple[int, int] | None) -> None:
        """What it did cost in tokens, in and out; None: nobody knows, so it stays at its most."""
        with self._turn:
            self._here.discard(name)
            self._note({"paid": name} | ({} if cost is None else {"in": cost[0], "out": cost[1]}))
            self._turn.notify_all()

    def _total(self) -> Spent:
        sums = self._sums
        for most in self._open.values():
            sums = [a + b for a, b in zip(sums, most, strict=True)]
        return Spent(sums[0], sums[1], sums[2], sums[3], self._money(sums[1], sums[2]))

    def _money(self, tokens_in: int, tokens_out: int) -> float | None:
        price = self.budget.price
        return None if price is None else (tokens_in * price[0] + tokens_out * price[1]) / 1e6

    def _over(self, most_in: int, most_out: int) -> str:
        now, limit = self._total(), self.budget
        if limit.requests is not None and now.requests + 1 > limit.requests:
            return f"the limit is {limit.requests:,} requests"
        if limit.tokens is not None and now.tokens + most_in + most_out > limit.tokens:
            return f"the limit is {limit.tokens:,} tokens, and the next question could cost {most_in + most_out:,}"
        more = self._money(most_in, most_out)
        if limit.money is not None and now.money is not None and more is not None and now.money + more > limit.money:
            return f"the limit is {limit.money:.6g} of money, and the next question could cost {more:.6g}"
        return ""

    def _note(self, line: dict[str, Any]) -> None:
        if self.path is None:
            self._take(line)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, b"\n" + json.dumps(line).encode() + b"\n")  # the first break ends what a power cut left half-written
            os.fsync(file)
        finally:
            os.close(file)
        self._catch_up()

    def _catch_up(self) -> None:
        if self.path is None or not self.path.exists():
            return
        with open(self.path, "rb") as file:
            file.seek(self._seen)
            new = file.read()
        new = new[: new.rfind(b"\n") + 1]
        self._seen += len(new)
        for line in filter(None, new.split(b"\n")):
            try:
                self._take(json.loads(line))
            except (ValueError, LookupError, TypeError, RecursionError):
                continue  # half a line: a question that wasn't sent, or a payment that stays at its most

    def _take(self, line: dict[str, Any]) -> None:
        tokens = [_count(line["in"]), _count(line["out"])] if "in" in line else None
        if "asked" in line and tokens:
            self._open[line["asked"]] = [1, *tokens, 1]
        elif (most := self._open.pop(line["paid"], None)) is not None:
            self._sums = [a + b for a, b in zip(self._sums, [1, *tokens, 0] if tokens else most, strict=True)]


def usage(answer: Any) -> tuple[int, int] | None:
    """Tokens in and out: {"usage": {"prompt_tokens": 9, "completion_tokens": 2}}; None where the server doesn't say."""
    try:
        cost = answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]
    except (LookupError, TypeError):
        return None
    return cost if all(type(c) is int and c >= 0 for c in cost) else None


@contextlib.contextmanager
def locked(path: Path | None) -> Iterator[None]:
    """Inside, no other thread or process is inside with the same path. The file is empty, and gone after; a process that dies lets go."""
    if path is None or fcntl is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if path.exists() and os.stat(path).st_ino == os.fstat(file).st_ino:
                break
        except FileNotFoundError:
            pass
        os.close(file)  # whoever was inside removed it: this one locks nothing
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(file)


def _count(tokens: Any) -> int:
    if type(tokens) is not int or tokens < 0:
        raise ValueError(tokens)
    return tokens


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _counts(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
