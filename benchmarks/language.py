"""Language models end to end: one pair of tiny Llamas, the same rows, the same updates, through TRL's GKD trainer and through us.

    python benchmarks/language.py --peers <python with trl> [--steps 60] [--rounds 3]

Every contender is a process of its own, in turn, in another order each round. What it made is judged afterwards by one piece of code: the likelihood
of held-out answers, and how far from the teacher it is there. tokens a second: of answers that were learned from, training alone, without loading.
peak: the most resident memory above what is held before the first step.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LENGTH, BATCH, MORE, WORDS = 192, 8, 64, 16_384
OURS = ("ours, online", "ours, on-policy", "ours, from the store")
PEERS = ("trl gkd, offline", "trl gkd, on-policy")


class Peak:
    """The most memory that this process holds from now on, in MB above what it holds now."""

    def __enter__(self) -> Peak:
        self.base = self.most = self.now()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self.mb = (max(self.most, self.now()) - self.base) / 2**20

    @staticmethod
    def now() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def _watch(self) -> None:
        while not self.over.wait(0.002):
            self.most = max(self.most, self.now())


def prepare(folder: Path, schooling: int) -> None:
    """Two Llamas behind one tokenizer, of which the larger has read for a while, and rows of code to go on with."""
    import torch
    import transformers as hf

    from understudy.data.code import library, train_tokenizer

    texts = library(3_000_000)
    tokenizer = train_tokenizer(texts, WORDS)
    pieces = [(t[i : i + 100], t[i + 100 : i + 350]) for t in texts for i in range(0, min(len(t) - 350, 6000), 350)]
    sizes = tokenizer([a + b for a, b in pieces])["input_ids"]
    rows = [{"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]}
            for (a, b), ids in zip(pieces, sizes, strict=True) if len(ids) < LENGTH - 16]  # fmt: skip
    for name, part in (("train", rows[200:]), ("test", rows[:200])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in part))
    shapes = {"teacher": (128, 4), "student": (64, 2)}
    for seed, (name, (width, layers)) in enumerate(shapes.items()):
        torch.manual_seed(seed)
        config = hf.LlamaConfig(vocab_size=WORDS, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=4,
                                max_position_embeddings=512, bos_token_id=None, eos_token_id=1, pad_token_id=0)  # fmt: skip
        hf.LlamaForCausalLM(config).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    taught = _ours(folder, "school", f"hf:{folder}/teacher", "none", {"name": "alone"}, schooling)
    os.rename(folder / "teacher", folder / "empty")
    os.rename(taught.folder / "student", folder / "teacher")


def _ours(folder: Path, name: str, student: str, teacher: str, method: dict[str, Any], steps: int, signal: str = "online") -> Any:
    import understudy
    from understudy.config import SPOKEN, Training

    training = Training(**{**SPOKEN, "batch": BATCH, "lr": 1e-3, "judgements": 1, "checkpoints": 0, "weight_decay": 0.0})
    lm = {"length": LENGTH, "more": MORE, "pack": False, "signal": signal}
    return understudy.distill(teacher, student, f"jsonl:{folder}/train.jsonl", method, task="lm", training=training, lm=lm, limit=steps * BATCH, alone=False,
                              folder=str(folder / name), quiet=True)  # fmt: skip


def one(contender: str, folder: Path, steps: int, out: Path) -> None:
    """Train, in this process; -> seconds, peak and the place of what was made."""
    import torch

    torch.set_num_threads(2)
    made = folder / f"made-{contender.replace(' ', '-').replace(',', '')}"
    told = ours(contender, folder, steps, made) if contender in OURS else trl(contender, folder, steps, made)
    out.write_text(json.dumps(told))


def ours(contender: str, folder: Path, steps: int, made: Path) -> dict[str, Any]:
    from understudy import config as configuration
    from understudy.core.fit import fit
    from understudy.core.run import start
    from understudy.lm import plan, save

    stored = contender.endswith("store")
    method = (
        {"name": "kd", "t": 1.0, "a": 1.0} if stored else {"name": "gkd", "beta": 0.5, "lmbda": float("on-policy" in contender)}
    )
    signal = f"store:{folder}/store" if stored else "online"
    config = configuration.build({"teacher": f"hf:{folder}/teacher", "student": f"hf:{folder}/student", "method": method, "alone": False, "folder": str(made),
                                  "data": {"address": f"jsonl:{folder}/train.jsonl", "task": "lm", "limit": steps * BATCH},
                                  "training": {"batch": BATCH, "lr": 1e-3, "weight_decay": 0.0}, "lm": {"length": LENGTH, "more": MORE, "pack": False, "signal": signal}})  # fmt: skip
    job = plan(config)
    run = start(job.method, job.world, 0, device="cpu")
    tokens: list[float] = []
    fit(run, 1)
    with Peak() as peak:
        begun = time.perf_counter()
        fit(run, steps, watch=lambda r, b, _t: tokens.append(r.world.weight(b)))
        seconds = time.perf_counter() - begun
    save(run["student"], job.readers["student"], made)
    return {"seconds": seconds, "peak_mb": peak.mb, "tokens": sum(tokens), "made": str(made)}


def trl(contender: str, folder: Path, steps: int, made: Path) -> dict[str, Any]:
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()][: steps * BATCH]
    tokenizer = AutoTokenizer.from_pretrained(folder / "student")
    load = lambda name: AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32)
    tokens: list[int] = []

    class Counting(GKDTrainer):
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            tokens.append(int((inputs["labels"][:, 1:] != -100).sum()))
            return super().compute_loss(model, inputs, *args, **kwargs)

    class Clock(TrainerCallback):
        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            if state.global_step == 1:
                tokens.clear()
                self.peak = Peak().__enter__()
                self.begun = time.perf_counter()

    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        args = GKDConfig(output_dir=out, per_device_train_batch_size=BATCH, max_steps=steps, learning_rate=1e-3, lr_scheduler_type="cosine", warmup_steps=0, max_grad_norm=1.0,
                         weight_decay=0.0, lmbda=float("on-policy" in contender), beta=0.5, temperature=1.0, max_new_tokens=MORE, max_length=LENGTH, logging_steps=1000, report_to=[],
                         use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no", disable_tqdm=True, seed=0)  # fmt: skip
        trainer = Counting(
            model=load("student"),
            teacher_model=load("teacher"),
            args=args,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            callbacks=[clock],
        )
        trainer.train()
        seconds = time.perf_counter() - clock.begun
    clock.peak.__exit__()
    trainer.model.save_pretrained(made)
    tokenizer.save_pretrained(made)
    return {"seconds": seconds, "peak_mb": clock.peak.mb, "tokens": sum(tokens), "made": str(made)}


def judged(folder: Path, made: str) -> dict[str, float]:
    """Held-out answers: nats a token, and KL(teacher || student)."""
    from understudy.data import chats
    from understudy.lm import compare
    from understudy.models import language
    from understudy.worlds.texts import Texts

    student, teacher = (language.load(f"hf:{p}") for p in (made, folder / "teacher"))
    data = chats.load(f"jsonl:{folder}/test.jsonl", student.reader.tokenizer, valid=0.1, test=0.8)
    chats.prepare(data, {"student": student.reader}, LENGTH, False, False)
    agreement, apart = compare(teacher.net, student.net, data.test)
    assert agreement is not None and apart is not None
    return {
        "nll": -Texts(data=data, chunk=8).measure(student.net, data.test)["likelihood"],
        "kl_to_teacher": apart,
        "agreement": agreement,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", default="", help="a Python with trl; without it only we run")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--schooling", type=int, default=400, help="updates of the teacher beforehand")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "language.json")
    parser.add_argument("--one", nargs=3, metavar=("CONTENDER", "FOLDER", "OUT"), help=argparse.SUPPRESS)
    how = parser.parse_args()
    if how.one:
        one(how.one[0], Path(how.one[1]), how.steps, Path(how.one[2]))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder, how.schooling)
        label(folder, how.steps)
        names = [*OURS, *(PEERS if how.peers else ())]
        found: dict[str, list[dict[str, Any]]] = {n: [] for n in names}
        for k in range(how.rounds):
            for name in names[k % len(names) :] + names[: k % len(names)]:
                python = how.peers if name in PEERS else sys.executable
                out = folder / "one.json"
                done = subprocess.run([python, __file__, "--steps", str(how.steps), "--one", name, str(folder), str(out)], capture_output=True, text=True, check=False,
                                      env=os.environ | {"OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"})  # fmt: skip
                if done.returncode:
                    sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
                found[name].append(json.loads(out.read_text()))
        table = {}
        for name, runs in found.items():
            rates = [r["tokens"] / r["seconds"] for r in runs]
            table[name] = {"tokens_a_second": statistics.median(rates), "from": min(rates), "to": max(rates), "peak_mb": statistics.median(r["peak_mb"] for r in runs),
                           "tokens": runs[0]["tokens"], "updates": how.steps - 1} | judged(folder, runs[-1]["made"])  # fmt: skip
    command = (
        f"python benchmarks/language.py --peers PYTHON --steps {how.steps} --rounds {how.rounds} --schooling {how.schooling}"
    )
    told = {
        "command": command,
        "machine": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
        "vocabulary": WORDS,
        "batch": BATCH,
        "length": LENGTH,
        "table": table,
    }
    how.out.write_text(json.dumps(told, indent=1) + "\n")
    for name, row in table.items():
        print(
            f"{name:24s} {row['tokens_a_second']:8.0f} tokens/s ({row['from']:.0f} to {row['to']:.0f})  +{row['peak_mb']:6.0f} MB  nll {row['nll']:.3f}  KL {row['kl_to_teacher']:.3f}"
        )


def label(folder: Path, steps: int) -> None:
    """What the teacher says of the rows, 50 samples a token, once."""
    subprocess.run([sys.executable, "-m", "understudy", "label", "--task", "lm", "--teacher", f"hf:{folder}/teacher", "--student", f"hf:{folder}/student", "--data",
                    f"jsonl:{folder}/train.jsonl", "--limit", str(steps * BATCH), "--set", f"lm.length={LENGTH}", "--set", "lm.pack=false", "--samples", "50",
                    "--out", str(folder / "store")], check=True)  # fmt: skip


if __name__ == "__main__":
    main()
