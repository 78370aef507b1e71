"""Sizes as people say them (70b, 100b, 64xH100), and the shapes of models that have them."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from understudy.core.errors import refuse

UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
MOST = 1e18
NEAR = 0.1  # a published shape stands for a size that is within so much of its own
NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")


@dataclass(frozen=True)
class Shape:
    """A decoder as Llama and Qwen build it: width h, layers, heads, key-value heads, inner width m, rows of the head, whether that is the embedding too;
    bias: whether queries, keys and values have one; head: width of a head, h / heads if 0."""

    name: str
    h: int
    layers: int
    heads: int
    kv: int
    m: int
    words: int
    tied: bool
    bias: bool = True
    head_width: int = 0

    @property
    def query(self) -> int:
        """Width of the queries."""
        return self.heads * (self.head_width or self.h // self.heads)

    @property
    def key(self) -> int:
        """Width of the keys: heads are as wide as they are for queries."""
        return self.query // self.heads * self.kv

    @property
    def inner(self) -> int:
        """Parameters of the layers and the last norm."""
        attention = 2 * self.h * self.query + 2 * self.h * self.key + (self.query + 2 * self.key) * self.bias
        return self.layers * (attention + 3 * self.h * self.m + 2 * self.h) + self.h

    @property
    def head(self) -> int:
        return self.words * self.h

    @property
    def parameters(self) -> int:
        return self.inner + self.head * (1 if self.tied else 2)


# published configurations
PUBLISHED = (
    Shape("SmolLM2 135M", 576, 30, 9, 3, 1536, 49_152, True, False),
    Shape("SmolLM2 360M", 960, 32, 15, 5, 2560, 49_152, True, False),
    Shape("Qwen 2.5 0.5B", 896, 24, 14, 2, 4864, 151_936, True),
    Shape("Llama 3.2 1B", 2048, 16, 32, 8, 8192, 128_256, True, False),
    Shape("Qwen 2.5 1.5B", 1536, 28, 12, 2, 8960, 151_936, True),
    Shape("Qwen 2.5 3B", 2048, 36, 16, 2, 11_008, 151_936, True),
    Shape("Llama 3.2 3B", 3072, 28, 24, 8, 8192, 128_256, True, False),
    Shape("Qwen 2.5 7B", 3584, 28, 28, 4, 18_944, 152_064, False),
    Shape("Llama 3.1 8B", 4096, 32, 32, 8, 14_336, 128_256, False, False),
    Shape("Qwen 2.5 14B", 5120, 48, 40, 8, 13_824, 152_064, False),
    Shape("Qwen 2.5 32B", 5120, 64, 40, 8, 27_648, 152_064, False),
    Shape("Llama 3.1 70B", 8192, 80, 64, 8, 28_672, 128_256, False, False),
    Shape("Qwen 2.5 72B", 8192, 80, 64, 8, 29_568, 152_064, False),
    Shape("Llama 3.1 405B", 16_384, 126, 128, 8, 53_248, 128_256, False, False),
)


def number(field: str, text: str) -> float:
    """`70b` -> 7e10; k, m, b and t are 10^3, 10^6, 10^9 and 10^12. Raises `Refused` on anything but a number above 0."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d{1,2})?|\d{1,3}(?:[_,]\d{3})+)\s*([kmbt]?)", str(text).strip().lower(), re.ASCII)
    value = float(re.sub("[_,]", "", found[1])) * UNITS[found[2]] if found else math.nan
    if not 1 <= value <= MOST:  # so that NaN is refused too
        raise refuse(field, text, "a number from 1 to 10^18 such as 3b, 500m or 1.5e9", "k, m, b and t stand for 10^3 to 10^12")
    return value


def counted(field: str, text: str) -> tuple[int, str]:
    """`64xH100` -> (64, 'H100'); without a number one. Raises `Refused`."""
    found = re.fullmatch(r"(?:(\d+)\s*[x×*]\s*)?([a-z][\w.-]*)", str(text).strip(), re.I | re.ASCII)
    if found is None or not 1 <= int(found[1] or 1) <= 10**6:
        raise refuse(field, text, "a number of 1 to 1,000,000 and a device, such as 64xH100")
    return int(found[1] or 1), found[2]


def shape(field: str, text: str, words: int = 0) -> Shape:
    """The shape of a model: `hf:./folder` reads its config.json; of `70b` it is the published one nearest to that size, if within a tenth,
    else one between. words: of the vocabulary, where that isn't the shape's own. Raises `Refused`."""
    if str(text).startswith("hf:"):
        found = _in_folder(field, Path(str(text).removeprefix("hf:")))
        return replace(found, words=words) if words else found
    size = number(field, text)
    if size > 1e13:
        raise refuse(field, text, "at most 10 trillion parameters")
    near = min(PUBLISHED, key=lambda s: abs(math.log(s.parameters / size)))
    if abs(near.parameters / size - 1) <= NEAR:
        return replace(near, words=words or near.words)
    return _between(field, text, size, near, words or near.words)


def _between(field: str, text: str, size: float, like: Shape, words: int) -> Shape:
    """As many layers as it takes, at the width whose proportions are nearest to a published shape's; heads of 64 below a width of 2,048, else 128."""

    def one(h: int) -> tuple[float, Shape]:
        width = 64 if h < 2048 else 128
        heads = h // width
        kv = max(k for k in range(1, min(8, heads) + 1) if heads % k == 0)
        m = max(64, round(h * like.m / like.h / 64) * 64)
        blank = Shape(f"between {text}", h, 0, heads, kv, m, words, like.tied, like.bias)
        layer = replace(blank, layers=1).inner - blank.inner
        made = replace(blank, layers=max(1, round((size - blank.parameters) / layer)))
        aspect = math.log((made.h / made.layers) / (like.h / like.layers) / (size / like.parameters) ** 0.1)
        return 20 * abs(math.log(made.parameters / size)) + abs(aspect), made

    step = 64 if size < 3e9 else 128
    widths = range(step, 32_768 + step, step)
    found = min(map(one, widths), key=lambda pair: pair[0])[1]
    if abs(found.parameters / size - 1) > NEAR:
        raise refuse(field, text, f"a size that a decoder with a vocabulary of {words:,} can have; the nearest is {found.parameters:,}",
                     "name another size, or --vocabulary")  # fmt: skip
    return found


def _in_folder(field: str, folder: Path) -> Shape:
    try:
        told: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
        told = told.get("text_config") or told
        missing = [k for k in NEEDED if k not in told]
    except (OSError, ValueError, AttributeError) as e:
        raise refuse(
            field, f"hf:{folder}", f"a folder with a readable config.json ({type(e).__name__})", "give a size such as 3b"
        ) from None
    experts = [k for k in told if "expert" in k and told[k]]
    if missing or experts:
        what = f"its config.json lacks {', '.join(missing)}" if missing else f"it has {experts[0]}={told[experts[0]]!r}"
        raise refuse(field, f"hf:{folder}", f"a dense decoder as Llama and Qwen build it; {what}", "give a size such as 3b")
    heads = told["num_attention_heads"]
    numbers = [told[k] for k in NEEDED] + [told.get("num_key_value_heads") or heads, told.get("head_dim") or 1]
    if not all(isinstance(n, int) and not isinstance(n, bool) and 0 < n < 10**9 for n in numbers):
        raise refuse(field, f"hf:{folder}", "whole numbers above 0 in its config.json", "give a size such as 3b")
    h, layers, heads, m, words, kv, _ = numbers
    bias = bool(told.get("attention_bias", str(told.get("model_type", "")).startswith("qwen2")))
    return Shape(
        folder.name or str(folder),
        h,
        layers,
        heads,
        kv,
        m,
        words,
        bool(told.get("tie_word_embeddings")),
        bias,
        told.get("head_dim") or 0,
    )
