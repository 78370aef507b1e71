"""Real text that every machine has: the source of Python's standard library, and a tokenizer that is trained on it."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from understudy.data.address import need

END = "<|end|>"
CHAT = ("{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}" + END + "{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}")  # fmt: skip
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")


def library(most: int | None = None) -> list[str]:
    """Files of the standard library, about 31 MB, in an order that mixes its packages; at most so many bytes of them."""
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = [p for p in root.rglob("*.py") if "site-packages" not in p.parts and "__pycache__" not in p.parts]
    texts, size = [], 0
    for path in sorted(paths, key=lambda p: hashlib.blake2b(p.relative_to(root).as_posix().encode()).digest()):
        if most is not None and size >= most:
            break
        try:
            text = path.read_text("utf-8")
        except (UnicodeDecodeError, OSError):  # the tests of the library hold files that can't be read on purpose
            continue
        if text.strip():
            texts.append(text)
            size += len(text.encode())
    return texts


def train_tokenizer(texts: Iterable[str], size: int) -> Any:
    """A byte-pair tokenizer of `size` words with an end, a padding and a chat template, as `transformers` wants it.

    The same texts give the same tokenizer. At least 256 bytes and the five special words: size >= 261.
    """
    lib, transformers = need("tokenizers"), need("transformers")
    words = lib.Tokenizer(lib.models.BPE())
    words.pre_tokenizer = lib.pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = lib.decoders.ByteLevel()
    special = ["<|pad|>", END, *ROLES]
    trainer = lib.trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=lib.pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    words.train_from_iterator(texts, trainer)
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<|pad|>", eos_token=END, padding_side="left",
                                                additional_special_tokens=list(ROLES))  # fmt: skip
    made.chat_template = CHAT
    return made
