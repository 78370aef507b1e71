"""A language model and its understudy, from nothing, on one machine: `make lm-demo`.

A byte-pair tokenizer and a small Llama are trained on the source of Python's standard library, a student of a quarter of its size learns from it, and
both write code. Nothing is downloaded. The two trainings are `understudy distill --task lm` as anybody would call it.
"""

from __future__ import annotations

import argparse
import functools
import time
from pathlib import Path

from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax

import understudy
from understudy.config import Training
from understudy.data.address import need
from understudy.data.code import library, train_tokenizer

WORDS, LENGTH = 4096, 256


def blank(folder: Path, width: int, layers: int, heads: int) -> Path:
    """A Llama without weights worth having, and a tokenizer trained on all of the library."""
    transformers = need("transformers")
    tokenizer = train_tokenizer(library(), WORDS)
    config = transformers.LlamaConfig(vocab_size=WORDS, hidden_size=width, intermediate_size=5 * width // 2, num_hidden_layers=layers,
                                      num_attention_heads=heads, num_key_value_heads=heads, max_position_embeddings=1024, tie_word_embeddings=True,
                                      bos_token_id=None, eos_token_id=1, pad_token_id=0, architectures=["LlamaForCausalLM"])  # fmt: skip
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/lm-demo"))
    parser.add_argument("--bytes", type=int, default=3_200_000, help="of the library that is learned from")
    parser.add_argument("--width", type=int, default=192)
    how = parser.parse_args()
    screen, begun, data = Console(), time.perf_counter(), f"library?most={how.bytes}"
    screen.rule("[bold]1[/]  a tokenizer and an empty model")
    empty = blank(how.folder / "blank", how.width, 4, max(2, how.width // 64))
    settings = {**understudy.config.SPOKEN, "batch": 8, "lr": 2e-3, "warmup": 50, "judgements": 4, "checkpoints": 2}
    learn = functools.partial(understudy.distill, data=data, task="lm", lm={"length": LENGTH, "more": 64}, folder=str(how.folder))
    screen.rule("[bold]2[/]  the teacher reads, twice")
    teacher = learn("none", f"hf:{empty}?random=true", method="alone", training=Training(**settings | {"epochs": 2}), alone=False)
    screen.rule("[bold]3[/]  its understudy, and the same student without it, on half of the files")
    files = len(teacher.data.documents["train"]) // 2
    job = learn(
        f"hf:{teacher.folder / 'student'}",
        "shrink:0.5",
        method={"name": "kd", "t": 1.0, "a": 0.7},
        training=Training(**settings),
        limit=files,
    )
    told = job.findings
    for sample in told.samples[:2]:
        said = {s.who: s.text for s in sample.says}
        screen.print(
            Panel(Syntax(sample.prompt[-400:], "python", background_color="default"), title="so far", border_style="dim")
        )
        screen.print(
            Columns(
                [
                    Panel(
                        Syntax(said[who], "python", word_wrap=True, background_color="default"),
                        title=who,
                        width=max(40, screen.width // 2 - 2),
                    )
                    for who in ("teacher", "student")
                ]
            )
        )
    from understudy.report.spoken import summary

    screen.print(summary(told, job.folder))
    screen.print(f"[dim]{time.perf_counter() - begun:.0f} s in all[/]")


if __name__ == "__main__":
    main()
