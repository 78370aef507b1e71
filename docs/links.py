"""Does every link of a built site lead somewhere? Nothing is fetched.

    python docs/links.py [site]

Asked of every page: the page, file or picture that a link names is there, and so is the place within it; a picture has a text for who can't
see it; an address outside has the form of one; no script, style, font or picture is loaded from elsewhere; the page is reached from the first one;
no identifier is given twice.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("source", "src"),
    ("iframe", "src"),
    ("video", "src"),
    ("audio", "src"),
    ("use", "href"),
}
ALONE = {"genindex.html", "search.html", "404.html"}  # pages that nothing needs to lead to
HOST = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}|localhost|\d+(\.\d+){3}", re.I)


@dataclass
class Page(HTMLParser):
    """What a page offers and asks for. asks: (tag, attribute, address)."""

    ids: Counter[str] = field(default_factory=Counter)
    asks: list[tuple[str, str, str]] = field(default_factory=list)
    blind: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        if "id" in given:
            self.ids[given["id"]] += 1
        elif tag == "a" and "name" in given:
            self.ids[given["name"]] += 1
        if tag == "img" and not given.get("alt", "").strip():
            self.blind.append(given.get("src", ""))
        for name in ("href", "src"):
            if name in given and not (tag == "link" and given.get("rel") == "canonical"):
                self.asks.append((tag, name, given[name]))


def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text())
    page.close()
    return page


def outside(address: str) -> str:
    """What is wrong with an address of elsewhere; '' where its form is right."""
    at = urlsplit(address)
    if at.scheme == "mailto":
        return "" if re.fullmatch(r"[^@\s]+@[^@\s]+\.\w+", at.path) else "no mail address"
    if at.scheme not in ("http", "https"):
        return f"scheme '{at.scheme}'"
    return "" if HOST.fullmatch(at.hostname or "") and not re.search(r"\s", address) else "no address of a host"


def faults(site: Path) -> list[str]:
    """Every fault, as 'page: what'."""
    site = site.resolve()
    pages = {p: read(p) for p in sorted(site.rglob("*.html")) if "_static" not in p.relative_to(site).parts}
    found, leads = [], dict[Path, set[Path]]()
    for path, page in pages.items():
        here = str(path.relative_to(site))
        found += [f"{here}: picture {src} has no alt text" for src in page.blind]
        found += [f"{here}: the identifier '{name}' is given {n} times" for name, n in page.ids.items() if n > 1]
        leads[path] = set()
        for tag, name, address in page.asks:
            wrong, goal = judge(site, path, pages, tag, name, address)
            if wrong:
                found.append(f"{here}: {address}: {wrong}")
            if goal and tag == "a":
                leads[path].add(goal)
    for style in site.rglob("*.css"):
        loaded = re.findall(r"(?:url\(|@import )\s*[\"']?((?:https?:)?//[^\"')]+)", style.read_text())
        found += [f"{style.relative_to(site)}: loads {address} from elsewhere" for address in loaded]
    reached, waiting = set[Path](), [site / "index.html"]
    while waiting:
        at = waiting.pop()
        if at not in reached:
            reached.add(at)
            waiting += leads.get(at, ())
    found += [f"{p.relative_to(site)}: no link leads here" for p in pages if p not in reached and p.name not in ALONE]
    return found


def judge(site: Path, path: Path, pages: dict[Path, Page], tag: str, name: str, address: str) -> tuple[str, Path | None]:
    """What is wrong with a link, and the file it leads to."""
    at = urlsplit(address)
    if at.scheme == "data" or address in ("#", ""):
        return ("" if address != "" or tag != "a" else "an empty link"), None
    if at.scheme or address.startswith("//"):
        return ("is loaded from elsewhere" if (tag, name) in LOADS else outside(address)), None
    goal = (path.parent / unquote(at.path)).resolve() if at.path else path
    if goal.is_dir():
        goal /= "index.html"
    if not goal.is_relative_to(site):
        return "leads out of the site", None
    if not goal.is_file() or not goal.stat().st_size:
        return "there is no such file", None
    if at.fragment and goal in pages and unquote(at.fragment) not in pages[goal].ids:
        return f"{goal.relative_to(site)} has no '{at.fragment}'", goal
    return "", goal


if __name__ == "__main__":
    wrong = faults(Path(sys.argv[1] if len(sys.argv) > 1 else "site"))
    print(*wrong, f"{len(wrong)} faults", sep="\n")
    sys.exit(bool(wrong))
