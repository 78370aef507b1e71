"""A language model behind an endpoint, judging text token by token: what its server tells of the likeliest words becomes a teacher's answer.

Where a server tells nothing of that kind, its texts are worth having: `written` asks it for answers, which are rows to learn from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from understudy.core.errors import refuse
from understudy.parts.lazy import TopK
from understudy.teachers.logprobs import Token
from understudy.teachers.remote import Client, Messages


class Overheard(nn.Module):
    """x {input_ids, asked} [N, L] -> `TopK` at the places asked for: the server's likeliest tokens, as words of this tokenizer.

    The text of a row goes to the server as it stands (it must be one document a row, in the server's own chat format). A place whose next token begins
    elsewhere in the server's reading, and guesses that aren't words here, say nothing; `heard` counts places and those that were of use. Raises `Refused` as `Client.judge`.
    """

    def __init__(self, client: Client, tokenizer: Any, size: int, workers: int = 8) -> None:
        super().__init__()
        if client.topk < 1:
            raise refuse(
                "topk", client.topk, "1 or more: it is what the teacher is heard by", "openai:<url>?model=<name>&topk=20"
            )
        self.client, self.tokenizer, self.size, self.workers = client, tokenizer, size, workers
        self.address = f"openai:{client.url}?model={client.model}"
        self.words = {made.encode(): i for i in reversed(range(size)) if "\ufffd" not in (made := tokenizer.decode([i]))}
        self.heard = [0, 0]

    def __deepcopy__(self, _memo: Any) -> Overheard:
        return self  # nothing in it learns, and copies share what was answered

    @torch.no_grad()
    def forward(self, x: dict[str, Tensor]) -> TopK:
        rows = [(ids, asked) for ids, asked in zip(x["input_ids"].tolist(), (x["asked"] > 0).tolist(), strict=True)]
        with ThreadPoolExecutor(self.workers) as pool:
            told = [place for row in pool.map(lambda r: self._row(*r), rows) for place in row]
        ids, logp = (torch.full((len(told), self.client.topk), v) for v in (-1, -torch.inf))
        for i, guesses in enumerate(told):
            self.heard[0] += 1
            self.heard[1] += bool(guesses)
            for k, (word, value) in enumerate(list(guesses.items())[: self.client.topk]):
                ids[i, k], logp[i, k] = word, value
        device = x["input_ids"].device
        return TopK(ids.to(device), logp.to(device))

    def _row(self, ids: list[int], asked: list[bool]) -> list[dict[int, float]]:
        """Of each place that is asked for, words of ours and their log-probabilities; nothing where the two readings part."""
        places = [i for i, a in enumerate(asked) if a]
        if not places:
            return []
        first, last = places[0], places[-1]
        prompt, said = (
            self.tokenizer.decode(ids[: first + 1]),
            ids[first + 1 : last + 1],
        )  # what the last place predicts isn't in the row
        starts = [len(self.tokenizer.decode(said[:k]).encode()) for k in range(len(said))]
        judged = {t.start: t for t in self.client.judge(prompt, self.tokenizer.decode(said))} if said else {}
        at = dict(zip(range(first, last), starts, strict=True))
        return [self._mine(judged.get(at.get(i, -1))) for i in places]

    def _mine(self, token: Token | None) -> dict[int, float]:
        found: dict[int, float] = {}
        for guess in token.top if token is not None else ():
            word = self.words.get(guess.bytes if guess.bytes is not None else guess.text.encode())
            if word is not None:
                found.setdefault(word, guess.logprob)
        return found


def written(
    client: Client,
    asked: Iterable[Messages],
    *,
    samples: int = 1,
    workers: int = 8,
    progress: Callable[[int], None] = lambda _: None,
) -> list[str]:
    """Lines of JSON, {"messages": ...} with the model's answer behind each conversation, `samples` of them; answers are cached and paid for once.

    What the assistant said last is left out and asked for anew. Raises `Refused` as `Client.write`.
    """
    asked = [m[:-1] if m and m[-1]["role"] == "assistant" else m for m in asked]
    questions = [(m, seed) for m in asked for seed in range(samples)]
    lines: list[str] = []
    with ThreadPoolExecutor(workers) as pool:
        for messages, said in zip(
            (m for m, _ in questions), pool.map(lambda q: client.write(q[0], q[1]), questions), strict=True
        ):
            lines.append(json.dumps({"messages": [*messages, {"role": "assistant", "content": said.text}]}, ensure_ascii=False))
            progress(len(lines))
    return lines
