"""Texts of several kinds, without a download: prose and code out of Python's own library, sums and logs out of a grammar, and what a crawl
brings besides: noise, and the same few words again and again."""

from __future__ import annotations

import ast
import random
import warnings

from understudy.core.seeds import key

HOLDERS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
LEVELS = ("INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR")
PARTS = ("worker", "router", "store", "mailer", "index")
VERBS = ("GET", "GET", "GET", "POST", "PUT", "DELETE")
PATHS = ("items", "users", "orders", "health", "search", "login")
CODES = (200, 200, 200, 201, 301, 404, 500)
MENU = ("Home", "News", "Login", "Help", "Search", "About us", "Accept cookies", "Subscribe")


def prose_and_code(text: str) -> tuple[str, str]:
    """A source file's documentation, and what is left of it without; two empty ones where it isn't Python of this version."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return "", ""
    said, lines = [], text.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, HOLDERS) and (words := ast.get_docstring(node)):
            said.append(words)
            at = node.body[0]
            for i in range(at.lineno - 1, at.end_lineno or at.lineno):
                lines[i] = ""
    return "\n\n".join(said), "\n".join(line for line in lines if line.strip())


def sums(lines: int, *of: int | str) -> str:
    """`37 + 8 = 45`, one a line; `of` is what their chance hangs on."""
    dice, said = random.Random(key("sums", *of)), []
    for _ in range(lines):
        a, b, sign = dice.randrange(2, 30), dice.randrange(2, 10), dice.choice("+-*")
        said.append(f"{a} {sign} {b} = {a + b if sign == '+' else a - b if sign == '-' else a * b}\n")
    return "".join(said)


def logs(lines: int, *of: int | str) -> str:
    """What a server writes down, one request a line, in the order of time."""
    dice, said, clock = random.Random(key("logs", *of)), [], 0
    for _ in range(lines):
        clock += dice.randrange(1, 40)
        part, code = dice.choice(PARTS), dice.choice(CODES)
        level = "ERROR" if code == 500 else "WARN" if code == 404 else dice.choice(LEVELS[:4])
        when = f"{clock // 3600 % 24:02d}:{clock // 60 % 60:02d}:{clock % 60:02d}"
        said.append(
            f"{when} {level} {part}-{dice.randrange(1, 5)} {dice.choice(VERBS)} /{dice.choice(PATHS)}/{dice.randrange(100)} {code}\n"
        )
    return "".join(said)


def noise(letters: int, *of: int | str) -> str:
    """Printable letters by lot."""
    dice = random.Random(key("noise", *of))
    return "".join(chr(dice.randrange(33, 127)) if dice.random() < 0.85 else dice.choice(" \n") for _ in range(letters))


def menus(entries: int, *of: int | str) -> str:
    """What stands at the head of every page, a few entries in any order."""
    dice = random.Random(key("menus", *of))
    return "".join(dice.choice(MENU) + (" | " if dice.random() < 0.8 else "\n") for _ in range(entries))
