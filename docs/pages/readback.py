"""MathML read back as the text that it was made from."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from pages.notation import TEXT


def back(node: ET.Element) -> str:
    """The text that a piece of MathML was made from, without its spaces."""
    parts = [back(child) for child in node]
    text = (node.text or "").strip()
    if node.tag == "code":
        return f"`{text}`"
    if node.get("class") == "blank" or text == "⋅":
        return "."
    if node.tag in ("mi", "mo"):
        return TEXT.get(text, text)
    if node.tag == "mn":
        return text.replace("×", "x")
    if node.tag == "msqrt":
        return f"sqrt({parts[0]})"
    if node.tag == "mfrac":
        return f"{parts[0]}/{parts[1]}"
    if node.tag == "mover":
        return f"{parts[0]}~"
    if order := node.get("data-order"):
        return scripted(node, parts, order)
    wrap = {"braced": "{{{}}}", "bracketed": "({})"}.get(node.get("class") or "", "{}")
    return wrap.format("".join(parts) if len(node) else TEXT.get(text, text))


def scripted(node: ET.Element, parts: list[str], order: str) -> str:
    """A base and its scripts in the order in which they were written."""
    low = parts[1] if "_" in order else ""
    high = parts[-1].replace("'", "", order.count("'")) if "^" in order else ""
    base = parts[0].removesuffix("~") if "~" in order else parts[0]
    return base + "".join({"_": f"_{low}", "^": f"^{high}"}.get(sign, sign) for sign in order)
