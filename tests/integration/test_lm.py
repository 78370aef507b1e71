"""Language models from the command to the folder that is deployed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from integration.speakers import speaker, texts
from understudy import config as configuration
from understudy.core import registry
from understudy.core.batch import Views
from understudy.core.errors import Refused
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.data import chats
from understudy.data.chats import Chats, Document, Reader, prepare
from understudy.job import plan, resume
from understudy.models import language
from understudy.models.lm import LM
from understudy.worlds import WORLDS


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of models and files of text."""
    folder = tmp_path_factory.mktemp("speakers")
    texts(folder)
    for name, how in {
        "teacher": {"layers": 2, "width": 32}, "student": {"seed": 1, "padding": 5}, "other": {"words": 275}, "capped": {"kind": "gemma2"},
        "gpt2": {"kind": "gpt2"}, "masked": {"kind": "bert", "width": 32}, "masked-student": {"kind": "bert", "seed": 1},
        "t5": {"kind": "t5", "width": 32}, "t5-student": {"kind": "t5", "seed": 1},
    }.items():  # fmt: skip
        speaker(folder / name, **how)
    return folder


def config(
    place: Path, out: Path, teacher: str = "teacher", student: str = "student", data: str = "chats", **more: Any
) -> configuration.Config:
    address = f"jsonl:{place}/{data}.jsonl" + ("?prompt=question&completion=answer" if data == "asked" else "")
    hub = lambda name: name if ":" in name or name == "none" else f"hf:{place}/{name}"
    training = {"epochs": 1, "judgements": 1, "checkpoints": 2} | more.pop("training", {})
    lm = {"length": 48, "more": 8} | more.pop("lm", {})
    return configuration.build({"teacher": hub(teacher), "student": hub(student), "data": {"address": address, "task": "lm", "limit": 40}, "alone": False,
                                "folder": str(out), "training": training, "lm": lm} | more)  # fmt: skip


def reader(place: Path, name: str = "student") -> Reader:
    return language.load(f"hf:{place}/{name}").reader


# ------------------------------------------------------------------------------------------------------------------- the rows


def test_the_assistant_is_learned_from_and_nobody_else(place: Path) -> None:
    r = reader(place)
    row = {
        "messages": [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
            {"role": "assistant", "content": "four"},
        ]
    }
    d = chats.document(row, r.tokenizer, {k: k for k in ("messages", "prompt", "completion", "text")}, "row 1")
    e = r.encode(d)
    said = r.tokenizer.decode([i for i, learn in zip(e.ids, e.learn, strict=True) if learn])
    assert said == "two<|end|>four<|end|>"
    assert r.tokenizer.decode(e.ids) == d.text == r.tokenizer.apply_chat_template(row["messages"], tokenize=False)
    assert r.tokenizer.decode(e.ids[: e.prompt]).endswith("three<|end|><|assistant|>"), "what comes before the last answer"


def test_masks_are_shifted_once(place: Path) -> None:
    """At each place that is asked for, y is the very next token, and the model is asked for nothing else."""
    r = reader(place)
    data = Chats("made", {k: [Document((("what is 1 plus 2?", False), ("3.", True)))] for k in ("train", "valid", "test")})
    part = prepare(data, {"student": r}, 48, False, False).train
    e = r.encode(data.documents["train"][0])
    assert part.x["input_ids"][0].tolist() == e.ids[:-1]
    first = e.learn.index(True)
    assert part.y[0].tolist() == [-1] * (first - 1) + e.ids[first:] and part.x["asked"].equal(part.y >= 0)


@pytest.mark.parametrize("name", ["student", "gpt2", "capped"])
def test_texts_that_share_a_row_do_not_see_one_another(place: Path, name: str) -> None:
    """Also where a model attends within a window, and with padding behind them; the logits are the model's own."""
    spoken = language.load(f"hf:{place}/{name}")
    documents = chats.load(f"jsonl:{place}/plain.jsonl", spoken.reader.tokenizer).documents
    packed = prepare(Chats("a", {k: list(v) for k, v in documents.items()}), {"student": spoken.reader}, 64, True, False).train
    single = prepare(Chats("a", {k: list(v) for k, v in documents.items()}), {"student": spoken.reader}, 64, False, False).train
    assert len(packed.y) < len(single.y) and int((packed.y >= 0).sum()) == int((single.y >= 0).sum())
    net = spoken.net.eval()
    with torch.no_grad():
        together, apart = net(packed.x).dense(), net(single.x).dense()
        true = net.inner(input_ids=single.x["input_ids"]).logits[..., : net.size]
    assert torch.allclose(apart[single.x["asked"]], true[single.x["asked"]], atol=1e-5)
    for (a, one), (b, other) in zip(sorted(_by_prefix(packed, together)), sorted(_by_prefix(single, apart)), strict=True):
        assert a == b and torch.allclose(torch.tensor(one), torch.tensor(other), atol=1e-4)


def _by_prefix(part: Any, out: torch.Tensor) -> list[tuple[Any, Any]]:
    """(what was read so far in this text, the answer there) of every place."""
    found = []
    for i, j in part.x["asked"].nonzero().tolist():
        first = j - int(part.x["position_ids"][i, j])
        found.append((tuple(part.x["input_ids"][i, first : j + 1].tolist()), [round(v, 5) for v in out[i, j, :4].tolist()]))
    return found


def test_equal_documents_never_come_apart(place: Path, tmp_path: Path) -> None:
    rows = [{"text": f"line {i % 30} says the same"} for i in range(300)]
    (tmp_path / "twice.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    found = chats.load(f"jsonl:{tmp_path}/twice.jsonl", reader(place).tokenizer, valid=0.2, test=0.2).documents
    splits = [{d.text for d in v} for v in found.values()]
    assert all(splits) and not splits[0] & splits[1] and not splits[0] & splits[2] and not splits[1] & splits[2]


BAD = {
    "a broken line": ('{"text": "good"}\n{"text": \n', r"jsonl.*:2"),
    "another column": ('{"body": "x"}\n', r"it has body"),
    "a number": ('{"text": 3}\n', r"row="),
    "no answer": ('{"messages": [{"role": "user", "content": "x"}]}\n', r"messages=.*assistant"),
    "not an object": ("[1, 2]\n", r"row="),
    "nothing": ("", r"documents for"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_named(place: Path, tmp_path: Path, case: str) -> None:
    text, told = BAD[case]
    (tmp_path / "bad.jsonl").write_text(text)
    with pytest.raises(Refused, match=told):
        chats.load(f"jsonl:{tmp_path}/bad.jsonl", reader(place).tokenizer)


# -------------------------------------------------------------------------------------------------------------------- the job


def test_only_the_student_comes_out(place: Path, tmp_path: Path) -> None:
    """A plain Transformers folder that says what the run measured; nothing of the teacher in it."""
    import transformers

    job = plan(config(place, tmp_path, training={"epochs": 2})).run()
    folder = job.folder / "student"
    made = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert {p.name for p in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json", "README.md"}
    assert not any("teacher" in k for k in made.state_dict())
    again = job.world.measure(LM(made, len(tokenizer)), job.world.data.test)
    assert again["perplexity"] == pytest.approx(job.findings.heard["student"].perplexity, rel=1e-4)
    assert job.findings.heard["student"].nll < job.findings.heard["before"].nll, "it learned nothing"
    assert (job.folder / "report.html").stat().st_size > 1000 and json.loads((job.folder / "findings.json").read_text())[
        "samples"
    ]


def test_a_stopped_run_goes_on_to_the_same_bits(place: Path, tmp_path: Path) -> None:
    whole = plan(config(place, tmp_path / "a")).run()
    part = plan(config(place, tmp_path / "b"))
    with pytest.raises(KeyboardInterrupt):
        part.run(bar=lambda name, step, steps: (_ for _ in ()).throw(KeyboardInterrupt) if step > steps // 2 else None)
    again = resume(part.folder).run()
    for a, b in zip(whole.student.parameters(), again.student.parameters(), strict=True):
        assert torch.equal(a, b)


def test_parts_of_a_step_are_the_step(place: Path, tmp_path: Path) -> None:
    """Texts of different length: the mean is over the tokens of the step, however it is taken."""
    one, four = (plan(config(place, tmp_path / str(n), training={"accumulate": n}, lm={"pack": False})).run() for n in (1, 4))
    for a, b in zip(one.student.parameters(), four.student.parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-6)


@pytest.mark.parametrize(
    ("teacher", "student", "data", "more"),
    [
        ("teacher", "student", "asked", {"signal": "on-policy"}),
        ("masked", "masked-student", "plain", {}),
        ("t5", "t5-student", "asked", {}),
        ("teacher", "t5-student", "asked", {}),
        ("capped", "shrink:0.5", "chats", {}),
        ("other", "student", "plain", {"method": "uld"}),
        ("other", "student", "chats", {"method": "alm"}),
        ("none", "student", "plain", {"method": "alone"}),
        ("teacher", "student", "asked", {"method": "gkd"}),
        ("teacher", "student", "asked", {"method": "minillm"}),
        ("teacher", "student", "asked", {"method": "distillm"}),
        ("teacher", "student", "plain", {"method": "seqkd"}),
        ("teacher", "student", "chats", {"method": "taid", "training": {"accumulate": 2}}),
        ("teacher", "student", "chats", {"training": {"precision": "bf16"}}),
    ],
)  # fmt: skip
def test_every_kind_of_model_learns(
    place: Path, tmp_path: Path, teacher: str, student: str, data: str, more: dict[str, Any]
) -> None:
    job = plan(config(place, tmp_path, teacher, student, data, **more)).run()
    found = job.findings
    assert found.heard["student"].nll is not None and found.heard["student"].nll > 0
    if teacher == "teacher":
        assert 0 <= found.agreement <= 1 and found.divergence > 0
    if teacher == "other":
        assert found.heard["teacher"].nll is None and found.agreement is None and isinstance(job.data.parts["train"].x, Views)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft's own call
def test_lora_moves_little_and_is_gone_from_the_folder(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    import transformers

    job = plan(config(place, tmp_path, student=f"hf:{place}/student?lora=2&checkpointing=true"))
    moves = sum(p.numel() for p in job.world.student().parameters() if p.requires_grad)
    assert 0 < moves < 0.3 * sum(p.numel() for p in job.begun.parameters())
    job.run()
    plain = transformers.AutoModelForCausalLM.from_pretrained(job.folder / "student")
    assert not any("lora" in k for k in plain.state_dict())
    again = job.world.measure(LM(plain, job.begun.size), job.world.data.test)
    assert again["perplexity"] == pytest.approx(job.findings.heard["student"].perplexity, rel=1e-4)
    before = language.load(f"hf:{place}/student").net.inner.state_dict()
    assert any(not torch.equal(v, before[k]) for k, v in plain.state_dict().items()), "what it learned is in the weights"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "two vocabularies": ({"teacher": "other"}, "two vocabularies.*uld"),
    "on-policy, two vocabularies": ({"teacher": "other", "method": "uld", "signal": "on-policy"}, "read alike"),
    "a masked model that is to write": ({"teacher": "masked", "student": "masked-student", "data": "plain", "signal": "on-policy"}, "doesn't write"),
    "running text for an encoder-decoder": ({"teacher": "t5", "student": "t5-student", "data": "plain"}, "running text"),
    "a teacher without weights": ({"teacher": "hf:{place}/teacher?random=true"}, "with weights"),
    "no such option": ({"student": "hf:{place}/student?lore=3"}, "lore.*lora"),
    "no such type": ({"student": "hf:{place}/student?dtype=float8"}, "float32, bfloat16"),
    "no such signal": ({"signal": "offline"}, "signal.*online, on-policy or store"),
    "no such store": ({"signal": "store:nowhere"}, "nowhere"),
    "nobody to shrink": ({"teacher": "none", "student": "shrink:0.5", "method": "alone"}, "teacher to shrink"),
    "another address": ({"student": "tiny-mlp:x"}, "task=lm"),
    "rows of another kind": ({"method": "distilling-step-by-step"}, "not 'ask'.*another kind"),
    "a game in parts": ({"training": {"accumulate": 2}, "method": "dmd2"}, "dmd2"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_by_name(place: Path, tmp_path: Path, case: str) -> None:
    how, told = REFUSED[case]
    how = {k: v.format(place=place) if isinstance(v, str) else v for k, v in how.items()}
    with pytest.raises(Refused, match=told):
        plan(config(place, tmp_path, **how)).run()


def test_a_language_setting_without_the_task_is_refused() -> None:
    with pytest.raises(Refused, match="--task lm"):
        configuration.build({"lm": {"length": 64}})


def test_a_head_that_is_not_all_there_is_refused() -> None:
    """Logits that aren't the output layer's are not guessed at."""
    import transformers as hf

    class Odd(hf.LlamaForCausalLM):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            out = super().forward(*args, **kwargs)
            out.logits = out.logits.cumsum(-1)
            return out

    net = Odd(
        hf.LlamaConfig(
            vocab_size=32, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2
        )
    )
    with pytest.raises(Refused, match="output layer's"):
        LM(net, 32)


@pytest.mark.parametrize("name", [n for n, e in registry.entries().items() if not e.card.tasks and "classes" not in e.card.tags])
def test_methods_for_any_task_learn_from_language_models_as_they_stand(name: str) -> None:
    run = fit(start(registry.get(name)(), WORLDS["texts"](0, small=True), 1, device="cpu"), 2)
    assert all(p.isfinite().all() for p in run.nets.parameters())


@pytest.mark.parametrize("name", [n for n, e in registry.entries().items() if "classes" in e.card.tags])
def test_methods_for_classes_are_refused(name: str) -> None:
    with pytest.raises(Refused, match=name):
        start(registry.get(name)(), WORLDS["texts"](0, small=True), 1, device="cpu")


def test_weights_that_are_no_numbers_are_refused() -> None:
    from understudy.models.lm import LM
    from understudy.worlds.texts import llama

    inner = llama(280, (16, 1, 2)).inner
    with torch.no_grad():
        inner.lm_head.weight[3, 2] = torch.nan
    with pytest.raises(Refused, match="finite"):
        LM(inner, 280)
