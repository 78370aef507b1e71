"""The words and signs that docstrings write equations with, and how they are shown."""

from __future__ import annotations

import re

GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ", "kappa": "κ", "lambda": "λ",
         "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
         "Delta": "Δ", "Theta": "Θ", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω"}  # fmt: skip
BIG = {"sum": "∑", "prod": "∏"}
BENEATH = {*BIG, "max", "min", "argmax", "argmin"}  # whose subscript stands below
SIGNS = {"-": "−", "*": "∗", "~": "∼", "\\": "∖", "->": "→", "<-": "←", "<=": "≤", ">=": "≥", "!=": "≠", "...": "…", "..": "‥",
         "'": "′"}  # fmt: skip
INDICES = re.compile(r"(?!in|min|nil)[ijklmn]{2,3}")  # several letters, not a word
BEFORE_A = {"of", "in", "is", "at", "over", "on", "with", "for", "by", "as", "to", "from", "within"}
ANGLES = {"<": "⟨", ">": "⟩"}
BARS = {"|": "|", "||": "‖"}
PAIRS = {"(": ")", "[": "]", "{": "}"}
BOUNDS = {*"+=,;:|<>×±∈≤≥≠→−", "||", *SIGNS}  # where a term ends
TOKEN = re.compile(r"""(?P<code>`[^`]+`)|(?P<number>\d+x\d+(?!\w)|\d+(?:\.\d+)?(?:e-?\d+)?(?![^\W\d_]))
    |(?P<word>[^\W\d_][^\W_]*(?:-[a-z][a-z]+)*(?:'[a-z]+|(?<=[a-z]{3}s)')?)|(?P<op>\.\.\.|\|\||<-|->|<=|>=|!=|\.\.|[-+=*/<>~^_'.,;:|()\[\]{}\\×·≤≥≠→∈±−])
    |(?P<space>\ +)""", re.X)  # fmt: skip
TEXT = {sign: name for name, sign in (GREEK | BIG | SIGNS | BARS | ANGLES).items()}


class Unsure(ValueError):
    """This line isn't surely read."""


def tokens(line: str) -> list[tuple[str, str]]:
    """(kind, text) of a line's pieces. Raises `Unsure` at a character that isn't known."""
    found, place = [], 0
    while place < len(line):
        match = TOKEN.match(line, place)
        if not match:
            raise Unsure(line[place:])
        found.append((str(match.lastgroup), match.group()))
        place = match.end()
    return found
