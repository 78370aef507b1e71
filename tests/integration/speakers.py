"""Tiny language models in the hub's format, and what they read: sums in words. Made once a session."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch

from understudy.data.code import train_tokenizer


def sums(n: int, seed: int = 0) -> list[tuple[str, str]]:
    chance = random.Random(seed)
    pairs = [(chance.randint(0, 99), chance.randint(0, 99)) for _ in range(n)]
    return [(f"what is {a} plus {b}?", f"{a} plus {b} is {a + b}.") for a, b in pairs]


def texts(folder: Path, n: int = 120) -> Path:
    """chats.jsonl, asked.jsonl (question, answer) and plain.jsonl (text)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[Any]] = {"chats": [], "asked": [], "plain": []}
    for q, a in sums(n):
        rows["chats"].append({"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]})
        rows["asked"].append({"question": q, "answer": a})
        rows["plain"].append({"text": f"{q} {a}"})
    for name, said in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in said))
    return folder


def speaker(
    folder: Path, kind: str = "llama", width: int = 16, layers: int = 1, words: int = 290, padding: int = 0, seed: int = 0
) -> Path:
    """A model of random weights and its tokenizer; padding: rows of its head that are no words."""
    import transformers as hf

    tokenizer = train_tokenizer([f"{q} {a}" for q, a in sums(100)], words)
    if kind == "bert":
        tokenizer.add_special_tokens({"mask_token": "<|mask|>"})
    size = len(tokenizer) + padding
    shape = {
        "vocab_size": size,
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
    }
    ends = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0}
    torch.manual_seed(seed)
    net: Any
    if kind == "llama":
        net = hf.LlamaForCausalLM(hf.LlamaConfig(**shape, **ends, num_key_value_heads=2, max_position_embeddings=128))
    elif kind == "gpt2":
        net = hf.GPT2LMHeadModel(
            hf.GPT2Config(
                vocab_size=size,
                n_embd=width,
                n_layer=layers,
                n_head=2,
                n_positions=128,
                resid_pdrop=0,
                embd_pdrop=0,
                attn_pdrop=0,
                **ends,
            )
        )
    elif kind == "gemma2":
        net = hf.Gemma2ForCausalLM(
            hf.Gemma2Config(
                **shape,
                **ends,
                num_key_value_heads=2,
                head_dim=8,
                final_logit_softcapping=2.0,
                max_position_embeddings=128,
                sliding_window=8,
            )
        )
    elif kind == "bert":
        net = hf.BertForMaskedLM(
            hf.BertConfig(
                **shape, max_position_embeddings=128, hidden_dropout_prob=0, attention_probs_dropout_prob=0, pad_token_id=0
            )
        )
    else:
        net = hf.T5ForConditionalGeneration(hf.T5Config(vocab_size=size, d_model=width, d_kv=8, d_ff=2 * width, num_layers=layers, num_heads=2, dropout_rate=0.0,
                                                        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1))  # fmt: skip
    net.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
