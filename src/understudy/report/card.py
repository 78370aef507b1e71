"""The model card: README.md as the Hugging Face hub reads it."""

from __future__ import annotations

import re
from typing import Any

import yaml

from understudy.report import spoken, words
from understudy.report.findings import Findings
from understudy.report.page import paper_url
from understudy.report.spoken import Spoken

PIPELINES = {
    "classify": {"image": "image-classification", "text": "text-classification", "table": "tabular-classification"},
    "multilabel": {"image": "image-classification", "text": "text-classification", "table": "tabular-classification"},
    "regress": {"table": "tabular-regression"},
    "tag": {"text": "token-classification"},
    "lm": {"text": "text-generation"},
    "segment": {"image": "image-segmentation"},
    "detect": {"image": "object-detection"},
    "rank": {"text": "text-ranking"},
}
SPOKEN = {"causal": ("text-generation", "AutoModelForCausalLM"), "masked": ("fill-mask", "AutoModelForMaskedLM"),
          "seq2seq": ("text2text-generation", "AutoModelForSeq2SeqLM")}  # fmt: skip
NAMED = 100  # classes that the snippet spells out


def model_card(f: Findings, license: str | None = None, *, stem: str = "student", transformers: bool = False) -> str:
    """YAML front matter with a model-index, then what the model is, how it was made and how to use it.

    license: an identifier of the hub's list; left out where it isn't known, because a student may inherit its teacher's. stem: of
    the files' names beside the card. transformers: they are a folder that Transformers opens.
    """
    front = yaml.safe_dump(_named(_front(f, license, transformers)), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{front}---\n\n{_text(f, _pipeline(f) if transformers else _onnx(f, stem) + _torch(stem))}"


def _front(f: Findings, license: str | None, transformers: bool) -> dict[str, Any]:
    pipeline = PIPELINES.get(f.task, {}).get(f.kind or "")
    measured = {f.metric: f.student.score} | dict(f.student.metrics)
    result = {
        "task": {"type": pipeline or f.task},
        "dataset": {"name": f.data.name, "type": f.data.name, "split": "test"},
        "metrics": [{"type": k, "name": k, "value": round(float(v), 6)} for k, v in measured.items()],
    }
    front = {
        "license": license,
        "library_name": "transformers" if transformers else "understudy",
        "pipeline_tag": pipeline,
        "tags": ["understudy", "knowledge-distillation", f.method.name],
        "metrics": list(measured),
        "model-index": [{"name": f.student.name, "results": [result]}],
    }
    return {k: v for k, v in front.items() if v is not None}


def _text(f: Findings, use: str) -> str:
    said = words.headline(f)
    models = [(who, m) for who, m in (("teacher", f.teacher), ("student", f.student), ("student alone", f.alone)) if m]
    rows = "\n".join(
        f"| {who}: {_line(m.name)} | {words.score(f, m.score)} | {f'{m.parameters:,}' if m.parameters else '–'} "
        f"| {words.size(m.bytes) if m.bytes else '–'} | {words.milliseconds(m.latency_ms)} |"
        for who, m in models
    )
    gain = words.gain(f)
    url = paper_url(f.method.paper)
    paper = f"[{_line(f.method.paper)}]({url})" if url else _line(f.method.paper)
    settings = ", ".join(_line(f"{k} = {v}") for k, v in f.method.config.items() if k != "name")
    rows_of = ", ".join(f"{n:,} {_line(split)}" for split, n in f.data.splits.items())
    return f"""# {_line(f.student.name)}

{_line(said.text[0].upper() + said.text[1:])} ({_line(", ".join(said.rest))}).

A small model that stands in for {_line(f.teacher.name)} on {_line(f.data.name)} ({rows_of} rows; task: {_line(f.task)}), distilled with
Understudy by the method {_code(f.method.name)}.

| model | {_line(f.metric)} | parameters | size | latency, one row |
|---|---:|---:|---:|---:|
{rows}

{f"The student is {_line(gain)}." if gain else "The same student was not trained alone, so what the teacher was worth is not known."}

## How it was made

Method {_code(f.method.name)}{f", {paper}" if paper else ""}{f", with {settings}" if settings else ""}:

{_block(f.method.equation or "(no equation given)", "text")}

Made again by:

{_block(f.command, "sh")}

## How to use it

{use}## Limits

- Measured once, on {f.data.splits.get("test", 0):,} test rows of the training rows' own source; of other data nothing is known.
- It {_agrees(f)}, mistakes included, and inherits the teacher's biases and licence terms.
- Latency is the median on {_line(f.environment.get("machine", "one machine"))}, one row at a time; elsewhere it differs.

## Citation

The method: {paper or _line(f.method.name)}.
"""


def _torch(stem: str) -> str:
    return f"""With PyTorch; the weights know nothing of the network's code (its text is in the file's metadata) or of the input's
normalisation.

```python
from safetensors.torch import load_model

net = ...  # built as in training
load_model(net.eval(), "{stem}.safetensors")
```

"""


def _pipeline(f: Findings) -> str:
    what = PIPELINES.get(f.task, {}).get(f.kind or "", "text-classification")
    return f"""```python
from transformers import pipeline

decide = pipeline({what!r}, model=".")  # the folder, or its name on the hub
print(decide(...))
```

"""


def _onnx(f: Findings, stem: str) -> str:
    """How to run the ONNX file; nothing where none was made."""
    if f.onnx_difference is None:
        return ""
    classes = f"\nclasses = {list(f.data.classes)!r}" if 0 < len(f.data.classes) <= NAMED else ""
    return f"""With ONNX Runtime; the normalisation of the input is part of the file. Its answers were at most
{f.onnx_difference:.0e} away from PyTorch's.

```python
import numpy as np
import onnxruntime as ort

session = ort.InferenceSession("{stem}.onnx")
name = session.get_inputs()[0].name
x = np.load("rows.npy")  # rows as in training, before normalisation
(out,) = session.run(None, {{name: x}}){classes}{_reading(f)}
```

"""


def _agrees(f: Findings) -> str:
    if f.task == "regress":
        return f"follows its teacher with R² {f.agreement:.3f}"
    return f"agrees with its teacher on {words.percent(f.agreement)} of the test rows"


def _reading(f: Findings) -> str:
    """One more line of the snippet: from outputs to decisions."""
    if f.task == "regress":
        return ""
    if f.task == "multilabel":
        return "\nprint(out > 0)"
    named = 0 < len(f.data.classes) <= NAMED and f.task == "classify"
    return "\nprint([classes[i] for i in out.argmax(-1)])" if named else "\nprint(out.argmax(-1))"


def _line(text: str) -> str:
    """Words from outside inside Markdown, which stay the words that they are: one line, no markup, nothing that turns writing around."""
    plain = words.seen(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|])|(?<![^\W_])(_)|(_)(?![^\W_])", r"\\\g<0>", plain)


def _code(text: str) -> str:
    """Words from outside as a span of code, which no backtick of theirs ends."""
    plain = words.seen(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", plain)), default=0))
    return f"{fence}{plain}{fence}" if len(fence) == 1 else f"{fence} {plain} {fence}"


def _block(text: str, language: str) -> str:
    """Lines from outside as a block of code, which no line of theirs ends."""
    plain = "\n".join(words.marked(line) for line in text.splitlines())
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", plain)), default=0))
    return f"{fence}{language}\n{plain}\n{fence}"


def _named(value: Any) -> Any:
    """What stands at the head of the card, with nothing that can't be seen."""
    if isinstance(value, dict):
        return {_named(k): _named(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_named(v) for v in value]
    return words.seen(value) if isinstance(value, str) else value


# ---------------------------------------------------------------------------------------------------------------- language models


def spoken_card(f: Spoken, license: str | None = None) -> str:
    """The card of a student folder in the hub's format."""
    student, pipeline = f.heard["student"], SPOKEN[f.kind][0]
    measured = {"perplexity": student.perplexity, "accuracy": student.accuracy}
    given = {k: round(v, 6) for k, v in measured.items() if v is not None}
    result = {
        "task": {"type": pipeline},
        "dataset": {"name": f.data, "type": f.data, "split": "test"},
        "metrics": [{"type": k, "name": k, "value": v} for k, v in given.items()],
    }
    front = {
        "license": license,
        "library_name": "transformers",
        "pipeline_tag": pipeline,
        "tags": ["understudy", "knowledge-distillation", f.method],
        "metrics": list(given),
        "model-index": [{"name": student.name, "results": [result]}],
    }
    shown = yaml.safe_dump(
        _named({k: v for k, v in front.items() if v is not None}), sort_keys=False, allow_unicode=True, width=1000
    )
    return f"---\n{shown}---\n\n{_spoken_text(f)}"


def _spoken_text(f: Spoken) -> str:
    told, gain, url = spoken.headline(f), spoken.gain(f), paper_url(f.paper)
    student, teacher = f.heard["student"], f.heard.get("teacher")
    paper = f"[{_line(f.paper)}]({url})" if url else _line(f.paper)
    settings = ", ".join(_line(f"{k} = {v}") for k, v in f.config.items() if k != "name")
    rows = "\n".join(
        f"| {who}: {_line(f.heard[who].name)} | {spoken.perplexity(f.heard[who].perplexity)} | {f.heard[who].parameters:,} "
        f"| {words.size(f.heard[who].bytes)} | {f.heard[who].speed:,.0f} |"
        for who in spoken.CAST
        if who in f.heard
    )
    worth = (
        f"The student is {_line(gain)}."
        if gain
        else "The same student was not trained alone, so what the teacher was worth is not known."
    )
    agrees = (
        ""
        if f.agreement is None
        else f" It finds its teacher's likeliest token likeliest at {words.percent(f.agreement)} of the places."
    )
    said = ", ".join(f"{n:,} {split}" for split, n in f.tokens.items())
    return f"""# {_line(student.name)}

{_line(told.text[0].upper() + told.text[1:])}{f" ({_line(', '.join(told.rest))})" if told.rest else ""}.

A language model of {student.parameters:,} parameters{f" that stands in for {_line(teacher.name)}" if teacher else ""}, trained on {_line(f.data)} ({_line(said)} tokens)
with Understudy by the method {_code(f.method)}.

| model | perplexity | parameters | size | tokens judged a second |
|---|---:|---:|---:|---:|
{rows}

{worth if teacher or gain else "It had no teacher."}{agrees}

## How to use it

```python
{_spoken_use(f)}
```

## How it was made

Method {_code(f.method)}{f", {paper}" if paper else ""}{f", with {settings}" if settings else ""}; the teacher's word came from: {_line(f.signal)}.

{_block(f.equation or "(no equation given)", "text")}

Made again by:

{_block(f.command, "sh")}

## Limits

- Measured once, on {f.tokens.get("test", 0):,} tokens of the training texts' own source; of other texts nothing is known.
- Perplexities compare models with one tokenizer only.
- It may say what its teacher and its texts say, mistakes and biases included, and inherits their licence terms.

## Citation

The method: {paper or _line(f.method)}.
"""


def _spoken_use(f: Spoken) -> str:
    if f.kind == "masked":
        return """from transformers import pipeline

fill = pipeline("fill-mask", model=".")  # the folder, or its name on the hub
print(fill(f"The sky is {fill.tokenizer.mask_token}."))"""
    auto = SPOKEN[f.kind][1]
    return f"""from transformers import AutoTokenizer, {auto}

tokenizer = AutoTokenizer.from_pretrained(".")  # the folder, or its name on the hub
model = {auto}.from_pretrained(".")
given = tokenizer("...", return_tensors="pt", add_special_tokens=False)  # messages go through tokenizer.apply_chat_template first
print(tokenizer.decode(model.generate(**given, max_new_tokens=64)[0]))"""
