"""The README's pictures, made by the software itself: a run in a terminal, its report, a list of methods, the board over some runs, a page of the catalogue.

    python docs/pictures.py [list terminal report spoken board catalogue] [scenes | scenes/NAME ...]

A scene is a file of `docs/scenes` whose `scene()` trains a method on its world and draws what it does.

The run is the one of `make run`, for `spoken` a language model that learns sums; the outcome is shown as it came out.
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
REPORT = 3720  # height of the report's, as far as the rows where they differ
SPOKEN = 4240  # height of a language model's, as far as the method
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
    """The report in two columns, as far as the rows where the two differ."""
    if browser() is not None:
        in_columns(job.report(), PICTURES / "report.png", REPORT)


def in_columns(page: Path, target: Path, height: int) -> None:
    """The first so many pixels of a page as two columns, cut between two sections."""
    with tempfile.TemporaryDirectory() as made:
        whole = Path(made) / "whole.png"
        photograph(page.resolve().as_uri(), whole, WIDTH, height)
        with Image.open(whole) as picture:
            shown = picture.convert("RGB")
    ground, edge = shown.getpixel((2, height - 2)), (WIDTH - 1080) // 2 + 30  # inside a card's left padding
    between = {y for y in range(height) if shown.getpixel((edge, y)) != (255, 255, 255)}
    gaps = [y for y in between if {y - 8, y + 8} <= between]
    cut, end = (min(gaps, key=lambda y: abs(y - height * share)) for share in (0.55, 1))
    both = Image.new("RGB", (2 * WIDTH, max(cut, end - cut)), ground)
    both.paste(shown.crop((0, 0, WIDTH, cut)), (0, 0))
    both.paste(shown.crop((0, cut, WIDTH, end)), (WIDTH, 0))
    small = both.resize((1640, 1640 * both.height // both.width), Image.Resampling.LANCZOS)
    small.quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)
    said(target)


def draw_catalogue(method: str = "margin-mse") -> None:
    """A method's page of the site, built for this."""
    if browser() is None:
        return
    path = PICTURES / "catalogue.png"
    with tempfile.TemporaryDirectory() as made:
        subprocess.run([sys.executable, str(PICTURES.parent / "build.py"), "--to", made], check=True)
        photograph(Path(made, "site", "_generated", "methods", f"{method}.html").as_uri(), path, WIDTH, HEIGHT + 320)
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    said(path)


def run_spoken(folder: Path) -> Any:
    """Two small Llamas that are asked for sums: one reads answers, the other learns from it."""
    import json
    import random

    from transformers import LlamaConfig

    import understudy
    from understudy.config import SPOKEN as USUAL
    from understudy.config import Training
    from understudy.data.code import train_tokenizer

    os.chdir(folder)
    luck = random.Random(0)
    sums = [(luck.randrange(100), luck.randrange(100)) for _ in range(4000)]
    texts = [(f"what is {a} plus {b}?", f"{a} plus {b} is {a + b}.") for a, b in sums]
    rows = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in texts]
    Path("sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = train_tokenizer([" ".join(text) for text in texts[:50]], 275)  # few enough that numbers are spelled
    for name, width, layers in (("large", 96, 3), ("small", 48, 1)):
        shape = LlamaConfig(vocab_size=len(words), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, num_attention_heads=4,
                            num_key_value_heads=4, max_position_embeddings=128, bos_token_id=None, eos_token_id=1, pad_token_id=0)  # fmt: skip
        shape.architectures = ["LlamaForCausalLM"]
        shape.save_pretrained(name)
        words.save_pretrained(name)
    how = Training(**{**USUAL, "lr": 3e-3, "epochs": 12, "warmup": 50, "batch": 16, "judgements": 12})
    lm = {"length": 96, "more": 24}
    teacher = understudy.distill(
        "none", "hf:large?random=true", "jsonl:sums.jsonl", "alone", task="lm", training=how, lm=lm, alone=False
    )
    shutil.move(teacher.folder / "student", "teacher")
    return understudy.distill(
        "hf:teacher",
        "hf:small?random=true",
        "jsonl:sums.jsonl",
        {"name": "kd", "t": 1.0, "a": 0.7},
        task="lm",
        training=how,
        lm=lm,
    )


def draw_spoken(page: Path | None = None) -> None:
    """A language model's report in two columns: what was found, and what is said."""
    if browser() is None:
        return
    with tempfile.TemporaryDirectory() as made:
        in_columns(page or run_spoken(Path(made)).folder / "report.html", PICTURES / "spoken.png", SPOKEN)
        os.chdir(PICTURES)


BOARD = ("kd", "tiny-cnn?width=3"), ("dkd", "tiny-cnn?width=3"), ("kd", "tiny-cnn"), ("dist", "tiny-cnn"), ("kd", "tiny-mlp"), ("pkt", "tiny-mlp")  # fmt: skip


def draw_board() -> None:
    """The board in two columns while a run trains: the runs, and two of them side by side."""
    found = browser()
    if found is None:
        return
    import signal
    import time

    import understudy

    with tempfile.TemporaryDirectory() as made:
        os.chdir(made)
        runs = [understudy.distill("digits", student, "digits", method, epochs=10).folder.name for method, student in BOARD]
        speak = [sys.executable, "-m", "understudy"]
        live = subprocess.Popen([*speak, "distill", "--student", "tiny-cnn", "--method", "rkd", "--epochs", "2000"], stderr=subprocess.DEVNULL)  # fmt: skip
        board = subprocess.Popen([*speak, "board", "--port", "0"], stderr=subprocess.PIPE, text=True)
        try:
            assert board.stderr is not None
            address = re.search(r"http://\S+", board.stderr.readline())
            assert address is not None
            while not any('"student"' in p.read_text() for p in Path("runs").glob("*/state.json") if p.parent.name not in runs):
                time.sleep(0.2)
            time.sleep(10)  # so that there is something to see
            views = _views(found, address[0], (runs[2], runs[4]))
        finally:
            for process in (live, board):
                process.send_signal(signal.SIGINT)
                process.wait(60)
        os.chdir(PICTURES)
    both = Image.new("RGB", (2 * WIDTH + 20, views[0].height), "white")
    for i, view in enumerate(views):
        both.paste(view, (i * (WIDTH + 20), 0))
    target = PICTURES / "board.png"
    small = both.resize((1800, 1800 * both.height // both.width), Image.Resampling.LANCZOS)
    small.quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)
    said(target)


def _views(found: str, address: str, two: tuple[str, str]) -> list[Image.Image]:
    """What a browser shows of the table with two runs chosen, and of these two."""
    import io

    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        running = p.chromium.launch(executable_path=found, args=FLAGS[1:])
        page = running.new_page(viewport={"width": WIDTH, "height": HEIGHT - 180})
        page.goto(address)
        for name in two:
            page.get_by_label(f"Choose {name}").check()
        page.wait_for_timeout(1500)  # as much as a bar takes to grow
        shown = [page.screenshot()]
        page.locator("#compare").click()
        page.locator(".plot path.js-line").nth(5).wait_for(state="attached")
        page.wait_for_timeout(1500)
        shown.append(page.screenshot())
        running.close()
    return [Image.open(io.BytesIO(png)).convert("RGB") for png in shown]


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
    wanted = wanted or ("list", "terminal", "report", "spoken", "catalogue", "board", "scenes")
    scenes = {f"scenes/{p.stem}": p for p in sorted((PICTURES.parent / "scenes").glob("*.py"))}
    unknown = set(wanted) - {"list", "terminal", "report", "spoken", "catalogue", "board", "scenes", *scenes}
    if unknown:
        sys.exit(
            f"{', '.join(sorted(unknown))}: there are list, terminal, report, spoken, catalogue, board, scenes and {', '.join(scenes)}"
        )
    PICTURES.mkdir(exist_ok=True)
    for name, path in scenes.items():
        if "scenes" in wanted or name in wanted:
            draw_scene(path)
    if "spoken" in wanted:
        draw_spoken()
    if "catalogue" in wanted:
        draw_catalogue()
    if "board" in wanted:
        draw_board()
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
