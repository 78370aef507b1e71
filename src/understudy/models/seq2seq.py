"""Two ways to read a prompt: once, by an encoder, or again with every word of the answer.

Both take {"prompt" [N, Q], "said" [N, A]}, where said is a word to start from and the answer without its last.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from understudy.models.causal import Causal


class Seq2Seq(nn.Module):
    """An encoder and a decoder of `layers` blocks each, for `vocab` tokens and texts up to `longest`; -> [N, A, vocab]"""

    def __init__(self, vocab: int, longest: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.word, self.place = nn.Embedding(vocab, width), nn.Embedding(longest, width)
        for table in (self.word, self.place):
            nn.init.normal_(table.weight, std=0.1)
        how = {"dim_feedforward": 2 * width, "dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        self.encoder = nn.ModuleList(nn.TransformerEncoderLayer(width, heads, **how) for _ in range(layers))  # type: ignore[arg-type]
        self.decoder = nn.ModuleList(nn.TransformerDecoderLayer(width, heads, **how) for _ in range(layers))  # type: ignore[arg-type]
        self.read, self.norm, self.head = nn.LayerNorm(width), nn.LayerNorm(width), nn.Linear(width, vocab)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        memory, said = (self.word(t) + self.place.weight[: t.shape[1]] for t in (x["prompt"], x["said"]))
        for block in self.encoder:
            memory = block(memory)
        memory = self.read(memory)
        later = torch.ones(said.shape[1], said.shape[1], dtype=torch.bool, device=said.device).triu(1)
        for block in self.decoder:
            said = block(said, memory, tgt_mask=later)
        out: Tensor = self.head(self.norm(said))
        return out


class Joined(nn.Module):
    """A causal language model that reads prompt and answer as one text; -> [N, Q + A - 1, vocab], the answer's last"""

    def __init__(self, lm: Causal) -> None:
        super().__init__()
        self.lm = lm

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.lm(torch.cat([x["prompt"], x["said"][:, 1:]], 1))
        return out
