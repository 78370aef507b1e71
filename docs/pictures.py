"""The README's pictures, made by the software itself: a run in a terminal, its report, a list of methods.

    python docs/pictures.py [list terminal report] [scenes | scenes/NAME ...]

A scene is a file of `docs/scenes` whose `scene()` trains a method on its world and draws what it does.

The run is the one of `make run`, and its outcome is shown as it came out.
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


def draw_report(job: Any) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(
            f"report.png is left as it is: none of {', '.join(BROWSERS)} is on the PATH; install Chromium (`apt-get install chromium`, `brew install chromium`)"
        )
        return
    path = PICTURES / "report.png"
    path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        page = job.report().resolve().as_uri()
        asked = [browser, *FLAGS, f"--user-data-dir={profile}", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={path}", page]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=180, check=False)
    if not path.exists():
        sys.exit(f"{browser} made no picture ({done.returncode}): {done.stderr[-500:]}")
    said(path)


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
    unknown = set(wanted) - {"list", "terminal", "report", "scenes", *scenes}
    if unknown:
        sys.exit(f"{', '.join(sorted(unknown))}: there are list, terminal, report, scenes and {', '.join(scenes)}")
    PICTURES.mkdir(exist_ok=True)
    for name, path in scenes.items():
        if "scenes" in wanted or name in wanted:
            draw_scene(path)
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
