"""Pages made from the code, then the site (site/). Warnings are errors; so are a public name without a docstring, a command line on a page
that the command line would refuse, and a link that leads nowhere.

    python docs/build.py [--to DIR] [--only METHOD ...]

The code is read, not imported, but for the command line's help. What didn't change isn't made again: pages lie in docs/_generated (or DIR)
and are written where they say something new; the whole site is made anew where a page comes, goes or is renamed.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS)] * (str(DOCS) not in sys.path)

import links  # noqa: E402
from pages import commands, indexes, parts, reference, studies  # noqa: E402
from pages.code import ROOT, Name, public  # noqa: E402
from pages.facts import methods  # noqa: E402
from pages.markdown import Folder  # noqa: E402

from understudy.core.registry import entries  # noqa: E402

OWN = (
    "*.md",
    "guide/*.md",
    "decisions/*.md",
    "pictures/*.png",
    "pictures/*.svg",
    "pictures/scenes/*.png",
)  # written by hand, or drawn


def undocumented() -> list[str]:
    """Public names without a docstring."""
    said = lambda n: n.doc if n.node is None else ast.get_docstring(n.node) or ""
    return sorted({f"{n.module}.{n.name}" if n.node else n.module for n in public() if not said(n).strip()})


def pages(folder: Folder, cache: Path, only: frozenset[str]) -> str:
    """Write every page; what was made, in a line."""
    for pattern in OWN:
        for path in sorted(DOCS.glob(pattern)):
            folder.write(str(path.relative_to(DOCS)), path.read_bytes())
    found = methods(only and only | linked())
    indexes.write(folder, found, cache)
    made = studies.write(folder, cache), parts.write(folder, found), reference.api(folder)
    reference.cli(folder)
    reference.house(folder)
    folder.prune()
    return f"{len(found)} methods, {made[0]} studies, {made[1]} names of parts, {made[2]} other names"


def linked() -> set[str]:
    """Methods that pages written by hand lead to, by name or by family."""
    text = "".join(p.read_text() for pattern in OWN[:3] for p in DOCS.glob(pattern))
    named = set(re.findall(r"_generated/methods/([\w-]+)\.md", text))
    first = {e.family: e.name for e in reversed(entries().values())}
    return {n for n in named if n in entries()} | {first[n.removeprefix("family-")] for n in named if n.startswith("family-")}


def refused(folder: Folder) -> list[str]:
    """Command lines that the command line would refuse, by page."""
    said = {path: commands.shown(path.read_text()) for path in sorted(folder.written) if path.suffix == ".md"}
    return [
        f"{path.relative_to(folder.root)}: {line}: {fault}"
        for path, lines in said.items()
        for line in lines
        if (fault := commands.fault(line))
    ]


def shape(folder: Folder) -> str:
    """What the navigation of every page depends on: which pages there are, their titles, and how they are built."""
    how = [p.read_bytes() for p in sorted([DOCS / "conf.py", *(DOCS / "_static").glob("*")])]
    tocs = [line for p in sorted(folder.written) if p.suffix == ".md" for line in p.read_text().split("```{toctree}")[1:]]
    return hashlib.blake2b(repr((folder.titles(), tocs, how)).encode(), digest_size=16).hexdigest()


def build(to: Path | None = None, only: frozenset[str] = frozenset()) -> int:
    """The site, in site/ or below another folder; 0 where all of it holds."""
    work, site = (to, to / "site") if to else (DOCS / "_generated", ROOT / "site")
    lacking = undocumented()
    if lacking:
        print(f"{len(lacking)} public names have no docstring:", *lacking, sep="\n  ", file=sys.stderr)
        return 1
    begun, folder = time.monotonic(), Folder(work / "source")
    made = pages(folder, work / "figures", only)
    wrong = refused(folder)
    if wrong:
        print(f"{len(wrong)} command lines would be refused:", *wrong, sep="\n  ", file=sys.stderr)
        return 1
    kept, now = work / "shape", shape(folder)
    if not kept.is_file() or kept.read_text() != now:
        for stale in (site, work / "doctrees"):
            shutil.rmtree(stale, ignore_errors=True)
    kept.unlink(missing_ok=True)  # a build that fails isn't built upon: its warnings must come again
    sphinx = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        "-c",
        str(DOCS),
        "-d",
        str(work / "doctrees"),
    ]
    done = subprocess.run([*sphinx, str(folder.root), str(site)], check=False).returncode
    if done:
        return done
    faults = links.faults(site)
    if faults:
        print(f"{len(faults)} faults in the site:", *faults, sep="\n  ", file=sys.stderr)
        return 1
    kept.write_text(now)
    print(f"{made}; {len(list(site.rglob('*.html')))} pages, every link leads somewhere; {time.monotonic() - begun:.0f} s")
    return 0


def main() -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--to", type=Path, help="a folder for pages and site, instead of docs/_generated and site")
    asked.add_argument(
        "--only", nargs="*", default=[], help="pages for these methods and what they are measured by: a quick look"
    )
    given = asked.parse_args()
    return build(given.to and given.to.resolve(), frozenset(given.only))


__all__ = ["Name", "build", "public", "undocumented"]

if __name__ == "__main__":
    sys.exit(main())
