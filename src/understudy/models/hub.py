"""Models of Hugging Face and timm, by name or from a local folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from understudy.core.errors import Refused, refuse
from understudy.data import Data
from understudy.data.address import Address, need, switch, whole
from understudy.models.wrap import HF, Encode, Loaded, Normalise

LAYERS = 10_000  # more than any model has


@contextmanager
def quiet() -> Iterator[None]:
    """Transformers itself says nothing inside: files of this size are read at once, or told of in a line, and what went wrong is told by us."""
    logging = need("transformers").utils.logging
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


@quiet()
def huggingface(at: Address, data: Data, trust_remote_code: bool) -> Loaded:
    """The published network with its tokenizer or normalisation; a new head (trained=False) where its classes are not the data's.

    Options: revision; length, the most tokens of a text (128). Weights are read from safetensors only.
    """
    at.only(("revision", "length"))
    transformers = need("transformers")
    if data.kind == "table":
        raise refuse(
            "model", at.text, "a network for pictures or texts; the data are a table", "use mlp, or sklearn:random-forest"
        )
    offline = any(
        os.environ.get(k, "0").lower() in ("1", "true", "yes", "on") for k in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )
    where: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": offline or Path(at.place).is_dir()}
    where |= {"revision": at.options.get("revision", "main")}
    try:
        config = configuration(transformers, at.place, where)
        stated = _labels(config)
        if config.num_labels != data.outputs:
            stated = None
            names = data.classes or ("value",)
            config.id2label, config.label2id = dict(enumerate(names)), {n: i for i, n in enumerate(names)}
        auto = (
            transformers.AutoModelForImageClassification
            if data.kind == "image"
            else transformers.AutoModelForSequenceClassification
        )
        how = where | {
            "use_safetensors": True,
            "ignore_mismatched_sizes": True,
            "output_loading_info": True,
            "dtype": torch.float32,
        }
        inner, told = auto.from_pretrained(at.place, config=config, **how)
        sound(inner, "hf", at.place)
        view = _pixels(transformers, at, config, data, where) if data.kind == "image" else None
        encode = _tokens(transformers, at, config, where) if data.kind == "text" else None
    except Refused:
        raise
    except Exception as e:  # whatever it meets in a folder
        first = str(e).strip().splitlines()[0] if str(e).strip() else ""
        mend = "check the folder" if Path(at.place).is_dir() else "check the name and the network, or give a local folder"
        if "trust_remote_code" in str(e):
            mend = "pass trust_remote_code=True if you have read that code and trust it"
        raise refuse(
            "hf",
            at.place,
            f"{'an' if data.kind == 'image' else 'a'} {data.kind} classifier in the hub's format, as safetensors ({type(e).__name__}: {first})",
            mend,
        ) from None
    trained = not told["missing_keys"] and not told["mismatched_keys"]
    return Loaded(HF(inner, view, encode), trained, view, encode, stated if trained else None)


def sound(net: torch.nn.Module, field: str, place: str) -> None:
    """Raises `Refused` where a weight isn't finite: whoever learns from it would learn nothing, or stop at once."""
    for name, p in net.named_parameters():
        if p.is_floating_point() and not p.is_meta and not bool(p.isfinite().all()):
            raise refuse(
                field,
                place,
                f"finite weights; {name} holds NaN or infinity",
                "it is damaged, or its training ran away: take an earlier one",
            )


def configuration(transformers: Any, place: str, where: dict[str, Any]) -> Any:
    """A model's configuration. Raises `Refused` where it names compiled code to be fetched from the hub, unless code of its own is let run, and
    where it asks for more layers than any model has."""
    left = [transformers.PreTrainedConfig.get_config_dict(place, **where)[0]]
    while left and not where["trust_remote_code"]:
        for name, value in left.pop().items():
            if isinstance(value, dict):
                left.append(value)
            elif name.endswith("_implementation") and "/" in str(value):
                raise refuse("hf", place, f"a model that brings no code; its {name} is {value}", "take that out of config.json")
            elif "layer" in name and isinstance(value, int) and value > LAYERS:  # it would be built for ever
                raise refuse(
                    "hf", place, f"a model of at most {LAYERS:,} layers; its {name} is {value:.3g}", "is config.json damaged?"
                )
    return transformers.AutoConfig.from_pretrained(place, **where)


def _labels(config: Any) -> tuple[str, ...] | None:
    """The label order that a configuration states, unless it only counts."""
    names = tuple(str(config.id2label[i]) for i in sorted(config.id2label))
    return None if all(n == f"LABEL_{i}" for i, n in enumerate(names)) else names


def _pixels(transformers: Any, at: Address, config: Any, data: Data, where: dict[str, Any]) -> Normalise:
    """The folder's own normalisation, or the data's where it states none."""
    try:
        told, _ = transformers.ImageProcessingMixin.get_image_processor_dict(at.place, **where)
    except OSError:
        told = {}
    stated = told.get("do_normalize", True) and "image_mean" in told
    mean, std = (torch.as_tensor(told[k] if stated else of) for k, of in (("image_mean", data.mean), ("image_std", data.std)))
    size = getattr(config, "image_size", None)
    if getattr(config, "num_channels", len(mean)) == 3 and len(mean) == 1:
        mean, std = mean.expand(3), std.expand(3)
    return Normalise(mean, std, size if isinstance(size, int) else None)


def _tokens(transformers: Any, at: Address, config: Any, where: dict[str, Any]) -> Encode:
    tokenizer = transformers.AutoTokenizer.from_pretrained(at.place, **where)
    places = getattr(config, "max_position_embeddings", None) or 512
    length = min(whole("length", at.options.get("length", 128), 1, 8192), tokenizer.model_max_length, places)

    def encode(texts: list[str]) -> dict[str, torch.Tensor]:
        return dict(tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt"))

    encode.tokenizer = tokenizer  # type: ignore[attr-defined]  # for who saves the model beside it
    return encode


def timm(at: Address, data: Data) -> Loaded:
    """A network of timm with the data's channels and classes; `?pretrained=true` fetches its weights (the head is new)."""
    at.only(("pretrained",))
    if data.kind != "image":
        raise refuse("model", at.text, f"a network for pictures; the data are a {data.kind}", "use mlp, or sklearn:random-forest")
    pretrained, library = switch("pretrained", at.options.get("pretrained", "false")), need("timm")
    if not library.is_model(at.place):
        raise refuse("timm", at.place, "a name that timm.list_models() holds", "look there")
    net = library.create_model(at.place, pretrained=pretrained, num_classes=data.outputs, in_chans=data.shape[0])
    told: dict[str, Any] = net.pretrained_cfg if pretrained and data.shape[0] == 3 else {"mean": data.mean, "std": data.std}
    return Loaded(net, False, Normalise(told["mean"], told["std"]))
