"""A Hugging Face language model as a network that answers with lazy logits, and writes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.errors import refuse
from understudy.parts.lazy import Head, Lazy, wide

KINDS = ("causal", "masked", "seq2seq")
ASIDE = ("asked", "span", "next")  # what a method is told of a text, and no model reads
Adjust = Callable[[Tensor, Tensor], Tensor]


class LM(nn.Module):
    """Of whatever the inner model reads, and `asked` [N, L], the places to answer at: x -> `Lazy` [N, L, size].

    inner: a causal, masked or encoder-decoder model. size: words of its tokenizer; a head padded to more rows has no more words than these.
    What enters its output layer is taken on the way, and that layer is left to the loss, so no logits are made here.
    Raises `Refused` where the layer's product isn't all there is to its logits, up to a factor and a soft cap.
    """

    def __init__(self, inner: nn.Module, size: int, kind: str = "causal") -> None:
        super().__init__()
        if kind not in KINDS:
            raise refuse("lm.kind", kind, f"one of {', '.join(KINDS)}")
        self.inner, self.size, self.kind = inner, size, kind
        self.shared = False  # whether copies hold the same weights: for who never learns, and is too large to be held twice
        rows = self.head.weight.shape[0]
        if size > rows:
            raise refuse("lm.size", size, f"at most {rows}, the rows of its output layer", "is it the tokenizer of this model?")
        self.cap: float | None = getattr(self._config, "final_logit_softcapping", None)
        self.scale = self._measured_scale()

    def __deepcopy__(self, memo: dict[int, Any]) -> LM:
        new = copy.copy(self)
        held = vars(self)
        vars(new).update({k: copy.copy(v) if self.shared else copy.deepcopy(v, memo) for k, v in held.items()})
        return new

    @property
    def _config(self) -> Any:
        config: Any = self.inner.config
        return config.get_text_config() if hasattr(config, "get_text_config") else config

    @property
    def head(self) -> Any:
        """The output layer."""
        return self.inner.get_output_embeddings()  # type: ignore[operator]

    def forward(self, x: dict[str, Tensor]) -> Lazy:
        seen = {k: v for k, v in x.items() if k not in ASIDE}
        kept: list[tuple[Tensor, Tensor, Tensor | None]] = []

        def take(head: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            kept.append((given[0], head.weight, head.bias))  # here, since a sharded head is whole inside its forward only
            return (given[0][:, :0],)

        handle = self.head.register_forward_pre_hook(take)
        try:
            self.inner(**seen, **({} if self.kind == "masked" else {"use_cache": False}))
        finally:
            handle.remove()
        hidden, weight, bias = kept[0]
        return Lazy((Head(hidden, weight, bias, self.scale, self.cap),), self.size, x.get("asked"))

    @torch.no_grad()
    def write(
        self, prompt: dict[str, Tensor], more: int, *, greedy: bool = False, t: float = 1.0, adjust: Adjust | None = None
    ) -> Tensor:
        """Up to `more` tokens after each prompt, drawn at temperature t; {input_ids, attention_mask} [N, P], padded on the left (an encoder's on
        either side) -> [N, P + more], of an encoder-decoder [N, 1 + more]; after the one that ends it, a row is filled with padding. adjust: tokens so
        far [N, K] and logits of the next [N, V] -> logits to draw from instead, before the temperature."""
        if self.kind == "masked":
            raise refuse("lm.write", self.kind, "a causal or encoder-decoder model", "a masked language model doesn't write")
        how: dict[str, Any] = {} if greedy else {"temperature": t, "top_k": 0, "top_p": 1.0}
        if adjust is not None:
            from transformers import LogitsProcessorList

            how["logits_processor"] = LogitsProcessorList([adjust])
        pad, rows = self._config.pad_token_id, self.head.weight.shape[0]
        if rows > self.size:  # padding of the head is no word
            how["suppress_tokens"] = list(range(self.size, rows))
        if "_whole" in vars(self):  # in parts: nobody may stop before the last one does
            how["synced_gpus"] = True
        with evaluating(self):
            said: Tensor = self.inner.generate(  # type: ignore[operator]
                **prompt, **how, do_sample=not greedy, max_new_tokens=more, pad_token_id=0 if pad is None else pad
            )
        length = more + (1 if self.kind == "seq2seq" else prompt["input_ids"].shape[1])
        return nn.functional.pad(said, (0, length - said.shape[1]), value=0 if pad is None else pad)

    @torch.no_grad()
    def _measured_scale(self) -> float:
        """The factor between what the output layer gives and the logits; some models divide, some multiply, under many names."""
        device = next(self.parameters()).device
        if device.type == "meta":
            return 1.0
        ids = torch.arange(4, device=device)[None] % self.size
        given = {"input_ids": ids} | ({"decoder_input_ids": ids} if self.kind == "seq2seq" else {})
        with evaluating(self):
            self.scale, cap, self.cap = 1.0, self.cap, None
            raw, true = self(given).dense(), wide(self.inner(**given).logits[..., : self.size])
            self.cap = cap
        if not (raw.isfinite().all() and true.isfinite().all()):
            raise refuse(
                "lm",
                type(self.inner).__name__,
                "a model whose logits are finite",
                "its weights hold NaN or infinity: look at the file",
            )
        z = true if cap is None else cap * (true / cap).clamp(-1 + 1e-6, 1 - 1e-6).atanh()
        scale = ((raw * z).sum() / raw.square().sum()).item() if raw.any() else 1.0
        scale = 1.0 if abs(scale - 1) < 1e-2 else scale  # not a rounding of half precision
        again = raw * scale if cap is None else cap * (raw * scale / cap).tanh()
        if not torch.allclose(again, true, rtol=0.05, atol=0.05 * true.abs().max().item() + 1e-6):
            raise refuse("lm", type(self.inner).__name__, "a model whose logits are its output layer's, up to a factor and a soft cap",
                         "wrap it in a module of your own that answers with logits")  # fmt: skip
        return scale


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """In evaluation mode inside, as it was outside."""
    modes = [(m, m.training) for m in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for m, mode in modes:
            m.training = mode
