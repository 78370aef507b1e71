"""Two ways to read a prompt: once, by an encoder, or again with every word of the answer.

Both take {"prompt" [N, Q], "said" [N, A]}, where said is a word to start from and the answer without its last.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from understudy.data.address import need
from understudy.models.causal import Causal


class Seq2Seq(nn.Module):
    """A T5 (Hugging Face's) of `vocab` tokens, as many layers in its decoder as in its encoder; -> [N, A, vocab]"""

    def __init__(self, vocab: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        transformers = need("transformers")
        config = transformers.T5Config(
            vocab_size=vocab, d_model=width, d_kv=width // heads, d_ff=2 * width, num_layers=layers, num_heads=heads,
            dropout_rate=0.0, decoder_start_token_id=0, pad_token_id=0, eos_token_id=0,
        )  # fmt: skip
        self.t5 = transformers.T5ForConditionalGeneration(config)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.t5(input_ids=x["prompt"], decoder_input_ids=x["said"], use_cache=False).logits
        return out


class Joined(nn.Module):
    """A causal language model that reads prompt and answer as one text; -> [N, Q + A - 1, vocab], the answer's last"""

    def __init__(self, lm: Causal) -> None:
        super().__init__()
        self.lm = lm

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.lm(torch.cat([x["prompt"], x["said"][:, 1:]], 1))
        return out
