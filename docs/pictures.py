"""The README's pictures, made by the software itself: a run in a terminal, its report, a list of methods.

    python docs/pictures.py [list terminal report spoken] [scenes | scenes/NAME ...]

A scene is a file of `docs/scenes` whose `scene()` trains a method on its world and draws what it does.

The runs are those of `make run` and, for `spoken`, which takes minutes and must be asked for, of `make lm-demo`; their outcome is shown as it came out.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

PICTURES = Path(__file__).resolve().parent / "pictures"
COMMAND = {"teacher": "digits", "student": "tiny-cnn?width=3", "method": "kd", "data": "digits"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
]
WIDTH, HEIGHT = 1180, 1080  # of the report's top part, in pixels
SPOKEN = 1560  # height of a language model's
LARGEST = 400_000  # bytes of a picture
FONT = re.compile(r"@font-face \{\{.*?\}\}\s*", re.S)  # fonts would be fetched from elsewhere


def screen(width: int) -> Console:
    return Console(
        record=True, width=width, force_terminal=True, color_system="truecolor", file=open(os.devnull, "w"), highlight=False
    )


def typed(console: Console, *words: str) -> None:
    console.print(Text.assemble(("$ ", "bold green"), (shlex.join(words), "bold")), soft_wrap=True)


def save(console: Console, name: str, title: str) -> None:
    path = PICTURES / name
    console.save_svg(str(path), title=title, code_format=FONT.sub("", CONSOLE_SVG_FORMAT), unique_id=path.stem)
    said(path)


def said(path: Path) -> None:
    size = path.stat().st_size
    print(f"{path.relative_to(PICTURES.parents[1])}  {size / 1000:.0f} kB")
    if size > LARGEST:
        sys.exit(f"{path.name} has {size:,} bytes, more than {LARGEST:,}")


def run(folder: Path) -> Any:
    """What `make run` does, below the folder."""
    import understudy

    os.chdir(folder)  # so that the paths shown are short
    return understudy.distill(**COMMAND)


def draw_terminal(job: Any) -> None:
    from understudy.report.terminal import summary

    console = screen(112)
    typed(console, "understudy", "distill", *(word for name, value in COMMAND.items() for word in (f"--{name}", value)))
    console.print(summary(job.findings, job.folder))
    save(console, "terminal.svg", "understudy distill")


def draw_list(family: str = "logit") -> None:
    from understudy.cli.list import _view
    from understudy.core import registry

    found = sorted((e for e in registry.entries().values() if e.family == family), key=lambda e: (e.card.year, e.name))
    console = screen(112)
    typed(console, "understudy", "list", "--family", family)
    console.print(_view(found))
    save(console, "list.svg", "understudy list")


def browser() -> str | None:
    """Where there is one; else says how to come by it."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        print(f"pages are left as they are: none of {', '.join(BROWSERS)} is on the PATH; "
              "install Chromium (`apt-get install chromium`, `brew install chromium`)")  # fmt: skip
    return found


def photograph(address: str, path: Path, width: int, height: int) -> None:
    """What a browser shows of a page."""
    found = browser()
    if found is None:
        return
    path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        asked = [found, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}", f"--screenshot={path}", address]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=180, check=False)
    if not path.exists():
        sys.exit(f"{found} made no picture ({done.returncode}): {done.stderr[-500:]}")


def draw_report(job: Any) -> None:
    path = PICTURES / "report.png"
    photograph(job.report().resolve().as_uri(), path, WIDTH, HEIGHT)
    if path.exists():
        said(path)


def draw_spoken(page: Path | None = None) -> None:
    """The report of `make lm-demo`, or a page that is there: its top, and beside it what is said and where the two part."""
    target = PICTURES / "spoken.png"
    with tempfile.TemporaryDirectory() as made:
        if browser() is None:
            return
        if page is None:
            subprocess.run([sys.executable, str(PICTURES.parents[1] / "examples" / "lm_demo.py"), "--folder", made], check=True)
            page = max(Path(made).glob("*/report.html"), key=lambda p: p.stat().st_mtime)
        halves = []
        for part in ("", "#said"):
            half = Path(made) / f"half{len(halves)}.png"
            photograph(page.resolve().as_uri() + part, half, WIDTH, SPOKEN)
            with Image.open(half) as picture:
                halves.append(picture.convert("RGB"))
    both = Image.new("RGB", (2 * WIDTH, SPOKEN))
    for i, half in enumerate(halves):
        both.paste(half, (i * WIDTH, 0))
    both.resize((1640, 1640 * SPOKEN // (2 * WIDTH)), Image.Resampling.LANCZOS).quantize(128).save(target, optimize=True)
    said(target)


def draw_scene(path: Path) -> None:
    """Train and draw; a scene sets no global style, so each is drawn in the same one."""
    import importlib.util

    import matplotlib as mpl
    import torch

    mpl.use("Agg")
    torch.set_num_threads(1)
    spec = importlib.util.spec_from_file_location(f"scenes.{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    target = PICTURES / "scenes" / f"{path.stem}.png"
    target.parent.mkdir(exist_ok=True)
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        module.scene().savefig(target, dpi=110, metadata={"Software": None})
    with Image.open(target) as picture:
        few = picture.convert("RGB").quantize(128)
    few.save(target, optimize=True)
    said(target)


def main(*wanted: str) -> None:
    wanted = wanted or ("list", "terminal", "report", "scenes")
    scenes = {f"scenes/{p.stem}": p for p in sorted((PICTURES.parent / "scenes").glob("*.py"))}
    unknown = set(wanted) - {"list", "terminal", "report", "spoken", "scenes", *scenes}
    if unknown:
        sys.exit(f"{', '.join(sorted(unknown))}: there are list, terminal, report, spoken, scenes and {', '.join(scenes)}")
    PICTURES.mkdir(exist_ok=True)
    for name, path in scenes.items():
        if "scenes" in wanted or name in wanted:
            draw_scene(path)
    if "spoken" in wanted:
        draw_spoken()
    if "list" in wanted:
        draw_list()
    if {"terminal", "report"} & set(wanted):
        with tempfile.TemporaryDirectory() as folder:
            job = run(Path(folder))
            for name, draw in (("terminal", draw_terminal), ("report", draw_report)):
                if name in wanted:
                    draw(job)
            os.chdir(PICTURES)


if __name__ == "__main__":
    main(*sys.argv[1:])
