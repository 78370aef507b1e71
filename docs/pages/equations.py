"""Equations as docstrings write them, as MathML, which a browser draws without a library.

`KL(softmax(u/t) || softmax(s/t))`, `sum_i w_i CE(b_i)`, `w_{e+ahead}`: letters, words, Greek by name, scripts by `_` and `^`. What isn't
surely read is left as it stands: a bracket without its other half, a sign of two meanings (`r_t+1`), a character that isn't known.
Every equation is read back from its MathML, and must be what the docstring says to the last character but for spaces.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from html import escape

from pages.notation import ANGLES, BARS, BEFORE_A, BENEATH, BIG, BOUNDS, GREEK, INDICES, PAIRS, SIGNS, Unsure, tokens
from pages.readback import back

LONG = 60  # characters of a statement that may be broken


@dataclass
class Item:
    """A piece of a row. kind: atom, word, op, space. inside: what a bracket holds, so that a fraction can do without it."""

    kind: str
    xml: str
    text: str = ""
    inside: str = ""


class Reader:
    """A statement, read from left to right."""

    def __init__(self, line: str) -> None:
        self.found = tokens(line)
        self.place = 0

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        at = self.place + ahead
        return self.found[at] if 0 <= at < len(self.found) else ("end", "")

    def take(self) -> tuple[str, str]:
        self.place += 1
        return self.peek(-1)

    def spaced(self) -> tuple[bool, bool]:
        """Whether there is room before and behind the piece that comes."""
        return self.peek(-1)[0] in ("space", "end"), self.peek(1)[0] in ("space", "end")

    def row(self, closer: str = "") -> list[Item]:
        """Pieces as far as the closing sign, which is taken too. Raises `Unsure` where it doesn't come."""
        made: list[Item] = []
        while True:
            kind, text = self.peek()
            if kind == "end":
                if closer:
                    raise Unsure(f"no {closer}")
                return made
            before, behind = self.spaced()
            bar = text in BARS and not (before and behind)
            if text == closer and (text not in BARS or (bar and not before)) and not (text == ">" and before):
                self.take()
                return made
            if kind == "space":
                self.take()
                made.append(Item("space", ""))
            elif kind == "op" and not (text in PAIRS or bar or (text == "<" and before and not behind) or self.blank()):
                made.append(self.sign(made, before, behind))
            else:
                made.append(self.atom())

    def blank(self) -> bool:
        """A point that stands for whatever comes: softmax(. / t)."""
        return self.peek() == ("op", ".") and self.peek(-1)[1] in PAIRS and self.peek(1)[1] in (" ", ")", "/", ",")

    def sign(self, made: list[Item], before: bool, behind: bool) -> Item:
        text = self.take()[1]
        if text in ")]}_^'" or (text in "+-" and not before and self.peek()[1] in (*PAIRS.values(), ",", "")):
            raise Unsure(text)
        if text == ".":
            if before and behind:
                return Item("op", "<mo>⋅</mo>", text)
            if not before and behind:
                return Item("op", '<mo rspace="0.3em">.</mo>', text)
            raise Unsure(text)
        last = next((item for item in reversed(made) if item.kind != "space"), None)
        first = last is None or (last.kind == "op" and last.text not in ("...", "."))
        if text == "+" and not made:
            return Item("op", '<mo form="infix" lspace="0">+</mo>', text)
        if text in "+-" and (first or (before and not behind)):
            room = "" if first else '<mspace width="0.2em"></mspace>'
            return Item("op", f'{room}<mo form="prefix">{SIGNS.get(text, text)}</mo>', text)
        if text == "~" and not (before and behind):
            raise Unsure(text)
        if text in BARS:
            return Item("op", f'<mo stretchy="false" lspace="0.35em" rspace="0.35em">{BARS[text]}</mo>', text)
        if text == "/":
            return Item(
                "op", f'<mo lspace="{0.2 * before:g}em" rspace="{0.2 * behind:g}em">/</mo>', " / " if before and behind else "/"
            )
        return Item("op", f'<mo form="infix">{escape(SIGNS.get(text, text))}</mo>', text)

    def atom(self) -> Item:
        """A number, a name or a bracket, with its scripts, and with its arguments where it is called."""
        made = self.base()
        while True:
            made = self.scripts(made)
            if made.kind == "word" and self.peek()[1] in ("(", "["):
                made = Item("atom", f"<mrow>{made.xml}{self.bracket().xml}</mrow>")
            elif not (self.peek()[1] in ("_", "^", "'") or (self.peek()[1] == "~" and not self.spaced()[0])):
                return made

    def base(self) -> Item:
        kind, text = self.peek()
        if text in PAIRS or text in BARS or text == "<":
            return self.bracket()
        self.take()
        if kind == "number":
            return Item("atom", f"<mn>{text.replace('x', '×')}</mn>")
        if kind == "code":
            return Item("atom", f"<mtext><code>{escape(text[1:-1])}</code></mtext>")
        if text == ".":
            return Item("word", '<mi class="blank">·</mi>', "blank")
        if text == "sqrt" and self.peek()[1] == "(":
            return Item("atom", f"<msqrt><mrow>{self.bracket().inside}</mrow></msqrt>")
        if text in BIG:
            return Item("word", f"<mo>{BIG[text]}</mo>", text)
        return Item("word", f"<mi>{GREEK.get(text, text)}</mi>", text)

    def bracket(self) -> Item:
        opening = self.take()[1]
        closing = PAIRS.get(opening, ">" if opening == "<" else opening)
        inside = drawn(self.row(closing))
        left, right = (ANGLES.get(sign, BARS.get(sign, sign)) for sign in (opening, closing))
        xml = f'<mrow><mo form="prefix" fence="true">{left}</mo>{inside}<mo form="postfix" fence="true">{right}</mo></mrow>'
        return Item("atom", xml, "()" if opening == "(" else opening, inside)

    def scripts(self, made: Item) -> Item:
        order, low, high = "", "", ""
        accent = False
        while self.peek()[1] in ("_", "^", "'") or (self.peek()[1] == "~" and not self.spaced()[0]):
            sign = self.take()[1]
            if sign == "~":
                if accent or order.strip("'"):
                    raise Unsure("~")
                accent, order = True, order + "~"
                continue
            if sign in order and sign != "'":
                raise Unsure(sign)
            order += sign
            if sign == "'":
                high += "<mo>′</mo>"
            elif sign == "_":
                low = self.script()
            else:
                high += self.script()
        if not order:
            return made
        xml = f'<mover accent="true">{made.xml}<mo>~</mo></mover>' if accent else made.xml
        under = made.text in BENEATH and low and not high
        if low or high:
            tag = "munder" if under else f"m{'sub' * bool(low)}{'sup' * bool(high)}"
            rows = "".join(f"<mrow>{part}</mrow>" for part in (low, high) if part)
            xml = f'<{tag} data-order="{escape(order)}">{xml}{rows}</{tag}>'
        elif "'" in order:
            raise Unsure("'")
        return Item(made.kind, xml, made.text)

    def script(self) -> str:
        """What stands behind `_` or `^`."""
        kind, text = self.peek()
        if text == "{":
            self.take()
            return f'<mrow class="braced">{drawn(self.row("}"))}</mrow>'
        if text == "(":
            return self.bracket().xml
        self.take()
        if kind in ("number", "word"):
            sign, then = self.peek(), self.peek(1)
            if sign[1] in ("+", "-") and then[0] in ("number", "word"):
                raise Unsure(f"{text}{sign[1]}{then[1]}: how far the script goes")
            if INDICES.fullmatch(text):
                return "".join(f"<mi>{letter}</mi>" for letter in text)
            tag = "mn" if kind == "number" else "mi"
            return f"<{tag}>{GREEK.get(text, text)}</{tag}>"
        if text in ("+", "-", "*", "<", "<=", ">", ">="):
            shown = f'<mo form="prefix" lspace="0" rspace="0">{escape(SIGNS.get(text, text))}</mo>'
            return shown + (self.script() if self.peek()[0] in ("number", "word") else "")
        raise Unsure(text)


def drawn(items: list[Item]) -> str:
    """A row: fractions where they are plain, and room between factors and words."""
    while items and items[-1].kind == "space":
        items = items[:-1]
    items, xml = fractions(items), ""
    for i, item in enumerate(items):
        if item.kind != "space":
            article = (
                item.text == "a" and i > 1 and items[i - 2].text in BEFORE_A and len(items) > i + 2 and len(items[i + 2].text) > 1
            )
            xml += "<mtext>a</mtext>" if article else item.xml
        elif i and items[i - 1].kind != "op" and items[i + 1].kind != "op":
            wide = any(len(items[j].text) > 1 and items[j].kind == "word" and items[j].text not in GREEK for j in (i - 1, i + 1))
            xml += f'<mspace width="{"0.28" if wide else "0.17"}em"></mspace>'
    return xml


def fractions(items: list[Item]) -> list[Item]:
    """`a / b` stands one above the other where nothing else can be meant: factors that aren't words, over one factor at a term's end."""
    solid = [i for i, item in enumerate(items) if item.kind != "space"]
    for n, i in enumerate(solid):
        if items[i].text != " / " or items[i].kind != "op":
            continue
        left, m = [], n
        while m and items[solid[m - 1]].kind != "op":
            m -= 1
            left.insert(0, items[solid[m]])
        begins = m == 0 or items[solid[m - 1]].text in BOUNDS
        right = items[solid[n + 1]] if n + 1 < len(solid) else None
        ends = n + 2 >= len(solid) or (items[solid[n + 2]].kind == "op" and items[solid[n + 2]].text in BOUNDS)
        factors = [*left, *([right] if right else [])]
        if not left or not right or right.kind == "op" or not begins or not ends:
            continue
        if any(f.kind == "word" and (f.text == "E" or (len(f.text) > 1 and f.text not in GREEK)) for f in factors):
            continue
        above = bare(left[0]) if len(left) == 1 else f"<mrow>{drawn(items[solid[m] : i])}</mrow>"
        made = Item("atom", f"<mfrac>{above}{bare(right)}</mfrac>")
        return fractions([*items[: solid[m]], made, *items[solid[n + 1] + 1 :]])
    return items


def bare(item: Item) -> str:
    """What a fraction shows of a factor: a bracket without its marks."""
    return f'<mrow class="bracketed">{item.inside}</mrow>' if item.text == "()" and item.inside else item.xml


def statements(line: str) -> list[str]:
    """What stands side by side on a line, with gaps between; a gap at a sign belongs to the sign."""
    return re.split(r" {2,}", re.sub(r"(?<= [=+-]) {2,}", " ", re.sub(r" {2,}(?=[=+-] )", " ", line.strip())))


def cut(items: list[Item]) -> list[list[Item]]:
    """A long statement in pieces that a narrow screen may set below one another: each from a sign between terms, or behind a comma."""
    pieces: list[list[Item]] = [[]]
    begun = False  # whether there was a sign of equality since the comma
    for item in items:
        sign = item.text if item.kind == "op" and 'form="infix"' in item.xml else ""
        if pieces[-1] and (
            sign in ("+", "-") or (sign == "=" and begun) or (pieces[-1][-1].text == "," and item.kind == "space")
        ):
            pieces.append([])
        begun = sign == "=" or (begun and sign != ",")
        pieces[-1].append(item)
    return pieces


def formula(text: str) -> str:
    """One statement as `math` elements, a piece each where it is long. Raises `Unsure`."""
    items = Reader(text).row()
    pieces = cut(items) if len(text) > LONG else [items]
    made = [f'<math displaystyle="true"><mrow>{drawn(piece)}</mrow></math>' for piece in pieces]
    read, said = (re.sub(r"\s+", "", t) for t in ("".join(back(ET.fromstring(m)) for m in made), text))
    if read != said:
        raise Unsure(f"{text!r} reads back as {read!r}")
    return f'<span class="statement" title="{escape(text)}">{" ".join(made)}</span>'


def rendered(block: str) -> str:
    """A block of lines as HTML. Raises `Unsure` where a line isn't surely read."""
    lines = [line for line in block.splitlines() if line.strip()]
    rows = [[formula(part) for part in statements(line)] for line in lines]
    columns = {len(row) for row in rows}
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    if len(rows) > 2 and len(columns) == 1 and columns != {1}:
        cells = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
        inside = f'<table role="presentation">{cells}</table>'
    else:
        inside = "".join(f'<div class="line{" further" * (len(line) - len(line.lstrip()) > margin)}">{"".join(row)}</div>'
                         for line, row in zip(lines, rows))  # fmt: skip
    return f'<div class="equation" role="group" aria-label="Equation" tabindex="0">{inside}</div>'
