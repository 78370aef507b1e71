"""A student cut out of its teacher: the same architecture, narrower, with what weights it can inherit."""

from __future__ import annotations

import copy
import re
from typing import Any, cast

import torch
from torch import Tensor, nn

from understudy.core.errors import refuse
from understudy.models.tiny import CNN, MLP, NETS, TextCNN, ViT
from understudy.models.wrap import HF

OWN = tuple({entry[0] for entry in NETS.values()})
CHAINS = (nn.Sequential, CNN, MLP, TextCNN)  # their leaves run one after another
CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm)


def shrink(net: nn.Module, fraction: float) -> nn.Module:
    """A new network of `fraction` of the width, inputs and outputs the same.

    In a chain of Linear, Conv, BatchNorm, LayerNorm and Embedding the channels with the largest L1 norm stay; reference networks
    and Hugging Face models (which lose layers too: every 1/fraction-th stays) keep the leading channels and heads.
    Batch statistics are inherited too, and fit only once they have been taken anew (a few steps in training mode).
    Raises `Refused`, by name, for any other module.
    """
    if isinstance(net, HF):
        return HF(transformer(net.inner, fraction), *net.sees)
    if type(net) in OWN:
        was = cast(dict[str, Any], net.config)
        config = was | {"width": max(1, round(was["width"] * fraction))}
        if isinstance(net, ViT):
            config["width"], config["heads"] = _heads(was["width"], was["heads"], fraction)
        small = type(net)(**config)
        if type(net) not in CHAINS:
            return _lead(small, net)
        sizes = {
            n: len(w) if not isinstance(m, nn.Embedding) else w.shape[1]
            for n, m in small.named_modules()
            if isinstance(w := getattr(m, "weight", None), Tensor)
        }
        cut = _chain(net, sizes)
        cut.config = config  # type: ignore[assignment]
        return cut
    return _chain(net, fraction)


def _chain(net: nn.Module, size: dict[str, int] | float) -> nn.Module:
    """Cut leaf by leaf in the order of their call, handing on which channels are left; size: of each leaf, or a fraction."""
    leaves = [(n, m) for n, m in net.named_modules() if type(m) not in CHAINS]
    for name, leaf in leaves:
        grouped = isinstance(leaf, CONVS) and leaf.groups != 1
        bare = not any(True for _ in (*leaf.parameters(), *leaf.buffers(), *leaf.children())) and type(
            leaf
        ).__module__.startswith("torch.nn")
        if grouped or not (bare or type(leaf) in (nn.Linear, nn.Embedding, *CONVS, *NORMS)):
            what = f"'{name or 'the network'}' is {type(leaf).__name__}" + (" with groups" if grouped else "")
            mend = "name a smaller student, for instance tiny-cnn or hf:<folder>"
            raise refuse(
                "student", "shrink", f"for nn.Sequential nests of Linear, Conv, BatchNorm, LayerNorm and Embedding; {what}", mend
            )
    makers = [n for n, m in leaves if isinstance(m, (nn.Linear, nn.Embedding, *CONVS))]
    keep, total, last = None, 0, False  # channels left, of how many, and whether they are the last dimension
    small = copy.deepcopy(net)
    for name, _ in leaves:
        leaf = small.get_submodule(name)
        if isinstance(leaf, NORMS):
            if keep is not None:
                _cut_norm(leaf, _spread(keep, total, last, leaf.weight.numel() if leaf.weight is not None else _features(leaf)))
        elif name in makers:
            weight: Tensor = leaf.weight  # type: ignore[assignment]
            embeds = isinstance(leaf, nn.Embedding)
            rows = weight.shape[1] if embeds else weight.shape[0]
            n = rows if name == makers[-1] else size[name] if isinstance(size, dict) else max(1, round(rows * size))
            strength = weight.detach().abs().sum(0) if embeds else weight.detach().abs().flatten(1).sum(1)
            chosen = strength.topk(n).indices.sort().values
            columns = None if embeds or keep is None else _spread(keep, total, last, weight.shape[1])
            _cut_maker(leaf, chosen, columns)
            keep, total, last = chosen, rows, not isinstance(leaf, CONVS)
    return small


def _features(leaf: Any) -> int:
    return torch.Size(leaf.normalized_shape).numel() if isinstance(leaf, nn.LayerNorm) else int(leaf.num_features)


def _spread(keep: Tensor, total: int, last: bool, width: int) -> Tensor:
    """Which of `width` features come from the channels left, where a Flatten multiplied them."""
    times, rest = divmod(width, total)
    if rest:
        raise refuse(
            "student",
            "shrink",
            f"for layers that take all of the {total} channels before them; one takes {width}",
            "name a smaller student",
        )
    step = torch.arange(times, device=keep.device)
    return (step[:, None] * total + keep).flatten() if last else (keep[:, None] * times + step).flatten()


def _cut_maker(leaf: Any, rows: Tensor, columns: Tensor | None) -> None:
    weight = leaf.weight.detach()
    if isinstance(leaf, nn.Embedding):
        leaf.weight, leaf.embedding_dim = nn.Parameter(weight[:, rows].clone()), len(rows)
        return
    weight = weight[rows] if columns is None else weight[rows][:, columns]
    leaf.weight = nn.Parameter(weight.clone())
    if leaf.bias is not None:
        leaf.bias = nn.Parameter(leaf.bias.detach()[rows].clone())
    inputs, outputs = ("in_features", "out_features") if isinstance(leaf, nn.Linear) else ("in_channels", "out_channels")
    setattr(leaf, inputs, weight.shape[1])
    setattr(leaf, outputs, len(rows))


def _cut_norm(leaf: Any, keep: Tensor) -> None:
    for name, p in list(leaf.named_parameters(recurse=False)):
        setattr(leaf, name, nn.Parameter(p.detach().flatten()[keep].clone()))
    for name, b in list(leaf.named_buffers(recurse=False)):
        if b.dim():
            setattr(leaf, name, b[keep].clone())
    if isinstance(leaf, nn.LayerNorm):
        leaf.normalized_shape = (len(keep),)
    else:
        leaf.num_features = len(keep)


def _heads(width: int, heads: int, fraction: float) -> tuple[int, int]:
    """An even width, and the number of heads that divides it, as near to the head size of before as can be."""
    width, heads = 2 * max(1, round(width * fraction / 2)), max(1, round(heads * fraction))
    while width % (2 * heads):  # rotary positions need pairs
        heads -= 1
    return width, heads


def transformer(inner: nn.Module, fraction: float) -> nn.Module:
    """A Transformers model of `fraction` of the width, heads and layers, with the leading weights of the layers that stay."""
    config: Any = copy.deepcopy(inner.config)
    told = config.to_dict()
    names = set(told) | set(getattr(config, "attribute_map", {}))
    if not {"hidden_size", "num_hidden_layers", "num_attention_heads"} <= names:
        mend = "name a smaller student, for instance hf:<folder>"
        raise refuse(
            "student",
            "shrink",
            f"for models with hidden_size, num_hidden_layers and num_attention_heads; {type(config).__name__} has not",
            mend,
        )
    config.hidden_size, config.num_attention_heads = _heads(config.hidden_size, config.num_attention_heads, fraction)
    layers, config.num_hidden_layers = config.num_hidden_layers, max(1, round(config.num_hidden_layers * fraction))
    for name in ("intermediate_size", "hidden_dim"):
        if name in told:
            setattr(config, name, max(1, round(told[name] * fraction)))
    if told.get("num_key_value_heads"):
        shared = max(1, round(told["num_key_value_heads"] * fraction))
        config.num_key_value_heads = next(
            k for k in range(min(shared, config.num_attention_heads), 0, -1) if config.num_attention_heads % k == 0
        )
    if told.get("head_dim"):
        config.head_dim = config.hidden_size // config.num_attention_heads
    try:
        small = type(inner)(config)
    except (ValueError, RuntimeError, KeyError) as e:
        raise refuse(
            "student",
            f"shrink:{fraction}",
            f"for a model that {type(config).__name__} can make smaller ({str(e).splitlines()[0]})",
            "name a smaller student",
        ) from None
    return _lead(small, inner, layers / config.num_hidden_layers)


def _lead(small: nn.Module, big: nn.Module, every: float = 1.0) -> nn.Module:
    """Fill a network with the leading part of each of another's tensors; layer i inherits from layer i·every."""
    weights = big.state_dict()
    gates = {n for n, m in small.named_modules() if isinstance(m, nn.LSTM)}
    for name, to in small.state_dict().items():
        source = re.sub(r"\.(layers?|blocks?|h)\.(\d+)\.", lambda m: f".{m[1]}.{int(int(m[2]) * every)}.", name)
        of = weights.get(source)
        if of is None or of.dim() != to.dim():
            continue
        if name.rpartition(".")[0] in gates:  # four gates lie on top of one another
            to, of = to.unflatten(0, (4, -1)), of.unflatten(0, (4, -1))
        if all(a <= b for a, b in zip(to.shape, of.shape, strict=True)):
            with torch.no_grad():
                to.copy_(of[tuple(slice(n) for n in to.shape)])
    return small
