"""Language models by address, with the tokenizers that they read through."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from understudy.core.errors import Refused, refuse
from understudy.data.address import Address, need, parse, share, switch, whole
from understudy.data.chats import Reader
from understudy.models.hub import configuration, quiet, sound
from understudy.models.lm import LM
from understudy.models.shrink import transformer

SCHEMES = ("hf", "shrink")
OPTIONS = ("revision", "dtype", "bits", "lora", "checkpointing", "random")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass
class Spoken:
    """A language model, and how it reads. trained: its weights came with it. adapted: only a few weights of its own learn (LoRA)."""

    net: LM
    reader: Reader
    trained: bool = True
    adapted: bool = False


def load(address: str, *, teacher: Spoken | None = None, trust_remote_code: bool = False) -> Spoken:
    """The language model at an address: `hf:<name or folder>`, causal, masked or encoder-decoder, or `shrink:<fraction>` of the teacher.

    Options: revision; dtype=float32|bfloat16, of the weights; bits=8|4 (needs bitsandbytes and its devices), for who doesn't learn; lora=<rank>, which
    leaves all weights but small additions as they are (needs peft); checkpointing=true, which computes activations twice to hold fewer;
    random=true, the folder's configuration with new weights. Weights are read from safetensors only. Raises `Refused`.
    """
    at = parse(address)
    if at.scheme not in SCHEMES or not at.place:
        raise refuse("model", address, "hf:<name or folder>, or shrink:<fraction> of the teacher", "for task=lm")
    if at.scheme == "shrink":
        at.only(("lora", "checkpointing"))
        if teacher is None:
            raise refuse("student", address, "with a teacher to shrink", "name the teacher, or a student of its own")
        small = transformer(teacher.net.inner, share("shrink", at.place, "at most 1"))
        return _finished(Spoken(LM(small, teacher.net.size, teacher.net.kind), teacher.reader, trained=False), at)
    at.only(OPTIONS)
    return _finished(_hub(at, trust_remote_code), at)


@quiet()
def _hub(at: Address, trust_remote_code: bool) -> Spoken:
    transformers = need("transformers")
    offline = any(
        os.environ.get(k, "0").lower() in ("1", "true", "yes", "on") for k in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )
    where: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": offline or Path(at.place).is_dir(),
                             "revision": at.options.get("revision", "main")}  # fmt: skip
    dtype = at.options.get("dtype", "float32")
    if dtype not in DTYPES:
        raise refuse("dtype", dtype, f"one of {', '.join(DTYPES)}")
    random = switch("random", at.options.get("random", "false"))
    try:
        config = configuration(transformers, at.place, where)
        tokenizer = transformers.AutoTokenizer.from_pretrained(at.place, **where)
        kind = _kind(config)
        auto = {
            "causal": transformers.AutoModelForCausalLM,
            "masked": transformers.AutoModelForMaskedLM,
            "seq2seq": transformers.AutoModelForSeq2SeqLM,
        }[kind]
        if random:
            inner = auto.from_config(config, dtype=DTYPES[dtype], trust_remote_code=trust_remote_code)
        else:
            how = where | {"use_safetensors": True, "dtype": DTYPES[dtype], "output_loading_info": True} | _quantised(at)
            inner, told = auto.from_pretrained(at.place, config=config, **how)
            sound(inner, "hf", at.place)
            if missing := sorted(told["missing_keys"]):
                raise refuse("hf", at.place, f"a language model with all of its weights; it lacks {', '.join(missing[:3])} ({len(missing)} in all)",
                             "give a folder of that kind, or ?random=true for new ones")  # fmt: skip
        net = LM(inner, len(tokenizer), kind)
    except Refused:
        raise
    except Exception as e:  # whatever it meets in a folder
        first = str(e).strip().splitlines()[0] if str(e).strip() else ""
        mend = "check the folder" if Path(at.place).is_dir() else "check the name and the network, or give a local folder"
        raise refuse(
            "hf",
            at.place,
            f"a language model in the hub's format, as safetensors, with its tokenizer ({type(e).__name__}: {first})",
            mend,
        ) from None
    if not getattr(tokenizer, "is_fast", False):
        raise refuse(
            "tokenizer", at.place, "a fast one, which tells where in the text a token ends", "save it with its tokenizer.json"
        )
    start = getattr(config, "decoder_start_token_id", None) if kind == "seq2seq" else None
    return Spoken(net, Reader(tokenizer, kind, start), trained=not random)


def _kind(config: Any) -> str:
    if getattr(config, "is_encoder_decoder", False):
        return "seq2seq"
    return "masked" if any(a.endswith("ForMaskedLM") for a in config.architectures or ()) else "causal"


def _quantised(at: Address) -> dict[str, Any]:
    if "bits" not in at.options:
        return {}
    bits = whole("bits", at.options["bits"], 4, 8)
    if bits not in (4, 8):
        raise refuse("bits", bits, "one of 4, 8")
    need("bitsandbytes")
    config = need("transformers").BitsAndBytesConfig(load_in_8bit=bits == 8, load_in_4bit=bits == 4)
    return {"quantization_config": config}


def _finished(made: Spoken, at: Address) -> Spoken:
    """With adapters and checkpoints, as asked."""
    inner: Any = made.net.inner
    if switch("checkpointing", at.options.get("checkpointing", "false")):
        inner.activation_checkpointing_enable()
    if "lora" in at.options:
        peft = need("peft")
        rank = whole("lora", at.options["lora"], 1, 1024)
        task = {"causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM", "masked": "FEATURE_EXTRACTION"}[made.net.kind]
        config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type=task)
        made.net.inner = peft.get_peft_model(inner, config)
        made.adapted = True
    return made


def alone(net: nn.Module) -> nn.Module:
    """The Transformers model itself, on its own: adapters merged into the weights that they were beside."""
    inner: Any = net.inner if isinstance(net, LM) else net
    return inner.merge_and_unload() if hasattr(inner, "merge_and_unload") else inner
