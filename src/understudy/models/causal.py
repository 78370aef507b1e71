"""A causal language model from nothing: what small worlds write with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from understudy.data.address import need


class Causal(nn.Module):
    """A GPT-2 (Hugging Face's) of `vocab` tokens, one of which ends what it writes; [N, L] tokens -> [N, L, vocab] logits of the next.

    spread: of its first weights. It has no dropout: a policy must be the same when it writes and when it learns from what it wrote.
    """

    def __init__(self, vocab: int, longest: int, stop: int, width: int, layers: int, heads: int, spread: float = 0.02) -> None:
        super().__init__()
        transformers = need("transformers")
        self.stop = stop
        shape = {
            "vocab_size": vocab,
            "n_positions": longest,
            "n_embd": width,
            "n_layer": layers,
            "n_head": heads,
            "initializer_range": spread,
        }
        still = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        config = transformers.GPT2Config(**shape, **still, bos_token_id=None, eos_token_id=stop, pad_token_id=None)
        self.lm = transformers.GPT2LMHeadModel(config)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.lm(tokens, use_cache=False).logits
        return out

    def write(self, tokens: Tensor, more: int, greedy: bool = False) -> Tensor:
        """Up to `more` tokens after those given, with a cache of keys and values, then stops; [N, L] -> [N, L + more]"""
        how: dict[str, Any] = {} if greedy else {"top_k": 0, "top_p": 1.0, "temperature": 1.0}
        how |= {
            "do_sample": not greedy,
            "max_new_tokens": more,
            "pad_token_id": self.stop,
            "attention_mask": torch.ones_like(tokens),
        }
        said: Tensor = self.lm.generate(tokens, **how)
        return nn.functional.pad(said, (0, tokens.shape[1] + more - said.shape[1]), value=self.stop)
