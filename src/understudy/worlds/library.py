"""A library: queries, documents and how well they answer; the teacher reads both together, the student each by itself.

Documents are about a few of many topics, and so are queries; who writes about a topic uses some of its words, and who asks uses
others, so that common words alone find little. The student is given triples as search engines have them: a query, the one document
that was judged to answer it, and another one that BM25 found, which nobody judged and which may well be relevant.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.batch import Batch
from understudy.core.errors import Sealed, refuse
from understudy.core.seeds import stream
from understudy.core.world import Player
from understudy.parts.retrieve import bm25, counts, idf, latent
from understudy.parts.schedule import cosine
from understudy.tasks import task
from understudy.worlds.rows import Rows, Split, trained


@dataclass(frozen=True)
class Part:
    """x: {"query": [N, L], "document": [N, K, L']} token numbers, 0 fills up; y [N, K] grades."""

    x: dict[str, Tensor]
    y: Tensor


@dataclass(frozen=True)
class Shelves:
    """All texts and judgements. rare: the words' idf; start: what else is known of words before any judgement, [words, dim] or None.

    train: triples by sparse judgements, the student's; pool: pairs by all judgements of the same queries, the teacher's; valid and
    test: other queries against the whole collection.
    """

    document: Tensor
    rare: Tensor
    start: Tensor | None
    train: Part
    pool: Part
    valid: Part
    sealed: bool
    _test: Part

    @property
    def test(self) -> Part:
        seal.check("the test split of library")
        if self.sealed:
            raise Sealed("the test split of a small world was read")
        return self._test


class Tower(nn.Module):
    """Query and document each become one vector, and the score is their product: documents can be indexed once.

    {"query": [N, L], "document": [N, L'] or [N, K, L']} -> [N] or [N, K]; documents that all queries share come as [1, K, L'].
    """

    def __init__(self, rare: Tensor, dim: int, start: Tensor | None = None) -> None:
        super().__init__()
        self.embed, self.weigh = _vectors(rare, dim, start), _weights(rare)
        self.scale = 1.0 if start is None else nn.Parameter(torch.tensor(10.0))  # what is known is of unit length, scores aren't

    def index(self, text: Tensor) -> Tensor:
        """The mean of its words by a weight of theirs, for queries and documents alike; [..., L] -> [..., dim]"""
        return (_shares(self.weigh(text), text) * self.embed(text)).sum(-2)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        q, d = self.scale * self.index(x["query"]), self.index(x["document"])
        return (q * d).sum(-1) if d.dim() == 2 else (q[:, None] * d).sum(-1)


class Cross(nn.Module):
    """Every word of a query meets every word of a document, and kernels count how many meet how closely (KNRM, Xiong et al. 2017,
    with DRMM's weights of a query's words, Guo et al. 2016). Shapes as for `Tower`; nothing can be indexed."""

    def __init__(self, rare: Tensor, dim: int, start: Tensor | None = None, kernels: int = 11) -> None:
        super().__init__()
        self.embed, self.weigh = _vectors(rare, dim, start).requires_grad_(start is None), _weights(rare)
        self.judge = nn.Sequential(nn.Linear(kernels, 16), nn.Tanh(), nn.Linear(16, 1))
        self.middle = [*torch.linspace(-0.9, 0.9, kernels - 1).tolist(), 1.0]
        self.width = [0.1] * (kernels - 1) + [1e-2]  # the last counts words that are the same

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        query, document = x["query"], x["document"]
        if document.dim() == 2:
            return self({"query": query, "document": document[:, None]}).squeeze(1)  # type: ignore[no-any-return]
        q, d = (F.normalize(self.embed(t), dim=-1) for t in (query, document))
        near = q[:, None] @ d.mT  # [N, K, L, L']
        there = (document > 0).to(near)[:, :, None]
        kernels = zip(self.middle, self.width, strict=True)
        met = [torch.log1p((torch.exp(-((near - m) / w).square() / 2) * there).sum(-1)) for m, w in kernels]
        share = _shares(self.weigh(query), query)[:, None]
        out: Tensor = self.judge((share * torch.stack(met, -1)).sum(-2)).squeeze(-1)
        return out


def _vectors(rare: Tensor, dim: int, start: Tensor | None) -> nn.Embedding:
    made = nn.Embedding(len(rare), dim, padding_idx=0)
    made.weight.data *= 0.2  # small, so that little of what is random at first is left at the end
    if start is not None:
        made.weight.data.copy_(start[:, :dim])
    return made


def _weights(rare: Tensor) -> nn.Embedding:
    """A word's weight, whose softmax over a text begins as the word's part of all idf."""
    made = nn.Embedding(len(rare), 1)
    made.weight.data.copy_(rare.clamp(min=1e-2).log()[:, None])
    return made


def _shares(weights: Tensor, tokens: Tensor) -> Tensor:
    """Softmax over a text's words, none for the filler; [..., L, 1]"""
    return weights.masked_fill(tokens[..., None] == 0, -1e4).softmax(-2)


@dataclass
class Library(Rows):
    """Rows are queries with some documents; who ranks is judged on the whole collection."""

    def measure(self, made: nn.Module | Batch, split: Split) -> dict[str, float]:
        """The task's metrics over all documents, some queries at a time."""
        if not isinstance(made, nn.Module):
            return super().measure(made, split)
        everything = split.x["document"][:1]  # the same for every query
        few = max(1, 2**24 // (everything.numel() * split.x["query"].shape[1]))
        place = next((p.device for p in made.parameters()), torch.device("cpu"))
        modes = [(m, m.training) for m in made.modules()]
        made.eval()
        with torch.no_grad():
            out = [
                made({"query": q.to(place), "document": everything.to(place)}).float().cpu() for q in split.x["query"].split(few)
            ]
        for m, mode in modes:
            m.training = mode
        return task(self.task).metrics(torch.cat(out), split.y)

    def words(self, split: str = "valid") -> dict[str, float]:
        """BM25's metrics on a split, to compare with."""
        rows = self.data.valid if split == "valid" else self.data.test
        return task(self.task).metrics(bm25(rows.x["query"], self.data.document, len(self.data.rare)), rows.y)


def library(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, **changes: Any
) -> Library:
    """The world; `ready` trains its teacher on all the graded judgements. path: a folder with the Cranfield collection in
    its SMART files (cran.all.1400, cran.qry, cranqrel) instead of the generated one."""
    data = _cranfield(seed, Path(path), small) if path is not None else _generated(seed, small)
    wide, narrow = (8, 4) if small else (96, 96) if path is not None else (32, 16)
    steps, lr = 24 if small else 500, 3e-2 if path is None else 2e-4  # slower from words that something is known of
    world = Library(
        seed=seed, steps=steps, data=data, batch=8 if small else 32, task="rank",
        new_student=lambda: Tower(data.rare, narrow, data.start), player=Player(functools.partial(torch.optim.Adam, lr=lr), cosine(steps)),
    )  # fmt: skip
    if ready:
        world.given_teacher = _teacher(seed, wide, small, path, torch.get_default_dtype())
    else:
        with stream(seed, "teacher"):
            world.given_teacher = Cross(data.rare, wide, data.start)
    vars(world).update(changes)
    return world


@functools.cache
def _teacher(seed: int, _wide: int, small: bool, path: str | Path | None, _dtype: torch.dtype) -> nn.Module:
    world = library(seed, small=small, path=path)
    pool = Shelves(**{**vars(world.data), "train": world.data.pool})
    steps, batch = (24, 8) if small else (400, 16) if path is not None else (600, 64)
    assert world.given_teacher is not None
    player = Player(functools.partial(torch.optim.Adam, lr=1e-2), cosine(steps))
    return trained(world, world.given_teacher, steps, seed, data=pool, batch=batch, player=player)


# ------------------------------------------------------------------------------------------------------------ the generated one


@functools.cache
def _generated(seed: int, small: bool) -> Shelves:
    topics, own, common, documents = (4, 6, 8, 24) if small else (24, 30, 100, 400)
    queries = {"train": 24, "valid": 6, "test": 6} if small else {"train": 300, "valid": 80, "test": 160}
    words = 1 + common + topics * own
    with stream(seed, "library"):
        about_d, about_q = _mixtures(documents, topics, 3), _mixtures(sum(queries.values()), topics, 2)
        document = _written(about_d, 10 if small else 24, own, common, common_share=0.5)
        query = _written(about_q, 4 if small else 6, own, common, common_share=0.3)
        overlap = torch.minimum(about_q[:, None], about_d[None]).sum(-1)
        grades = (overlap > 0.4).long() + (overlap > 0.6) + (overlap > 0.8)
        return _shelved(words, document, query, grades, queries, None, small, sparse=True)


def _mixtures(n: int, topics: int, most: int) -> Tensor:
    """Shares of 1 to `most` topics a text; -> [n, topics]"""
    weight = torch.rand(n, topics).pow(2) + 0.05
    kept = torch.rand(n, topics).argsort(-1) < torch.randint(1, most + 1, (n, 1))
    return F.normalize(weight * kept, p=1, dim=-1)


def _written(about: Tensor, length: int, own: int, common: int, common_share: float) -> Tensor:
    """Token numbers of texts that each use a few of their topics' words; [n, topics] -> [n, length]"""
    n, topics = about.shape
    used = (torch.rand(n, topics, own).argsort(-1) < max(own // 5, 2)).double()
    of_topics = (about.double()[..., None] * used / used.sum(-1, keepdim=True)).flatten(1) * (1 - common_share)
    usual = 1 / torch.arange(1, common + 1, dtype=torch.double)
    chances = torch.cat([torch.zeros(n, 1), (usual / usual.sum() * common_share).expand(n, -1), of_topics], 1)
    return torch.multinomial(chances, length, replacement=True)


def _shelved(
    words: int,
    document: Tensor,
    query: Tensor,
    grades: Tensor,
    queries: dict[str, int],
    start: Tensor | None,
    small: bool,
    sparse: bool,
) -> Shelves:
    """Splits by query; the student's judgements are one document a query where `sparse`."""
    lexical = bm25(query, document, words)
    parts = dict(zip(queries, torch.arange(len(query)).split(list(queries.values())), strict=True))
    whole = {k: Part({"query": query[i], "document": document.expand(len(i), -1, -1)}, grades[i]) for k, i in parts.items()}
    judged = grades[parts["train"]]
    if sparse:
        best = torch.where(judged == judged.amax(-1, keepdim=True), torch.rand(judged.shape), -1).argmax(-1)
        judged = F.one_hot(best, len(document))
    n = 64 if small else 16000
    return Shelves(
        document, idf(counts(document, words)), start,
        _triples(query[parts["train"]], document, judged, lexical[parts["train"]], n),
        _triples(query[parts["train"]], document, grades[parts["train"]], lexical[parts["train"]], n), whole["valid"], small, whole["test"],
    )  # fmt: skip


def _triples(query: Tensor, document: Tensor, grades: Tensor, lexical: Tensor, n: int, among: int = 50) -> Part:
    """A query, a document judged relevant and one of a lower grade: as likely among those that BM25 finds first as anywhere."""
    found = lexical.argsort(dim=-1, descending=True, stable=True).argsort(-1) < among
    pick = torch.randint(len(query), (n,))
    pick = pick[(grades[pick] > 0).any(-1)]
    first = torch.multinomial((grades[pick] > 0).double(), 1)
    lower = (grades[pick] < grades[pick].gather(1, first)) * (found[pick] * len(document) / among + 1)
    both = torch.cat([first, torch.multinomial(lower.double(), 1)], 1)
    return Part({"query": query[pick], "document": document[both]}, grades[pick].gather(1, both))


# ------------------------------------------------------------------------------------------------------------------- Cranfield


def _cranfield(seed: int, folder: Path, small: bool) -> Shelves:
    texts, asked, judged = _smart(folder)
    seen = Counter(w for text in [*texts, *asked] for w in set(text))
    number = {w: i for i, w in enumerate((w for w, n in seen.most_common() if n > 1), 1)}
    words = len(number) + 1
    document, query = _numbered(texts, number, 120), _numbered(asked, number, 24)
    grades = torch.zeros(len(query), len(document), dtype=torch.long)
    for q, d, grade in judged:
        grades[q, d] = grade
    part = len(query) // 4
    with stream(seed, "cranfield"):
        mixed = torch.randperm(len(query))
        queries = {"train": len(query) - 2 * part, "valid": part, "test": part}
        start = latent(document, words, 96)
        return _shelved(words, document, query[mixed], grades[mixed], queries, start, small, sparse=False)


def _smart(folder: Path) -> tuple[list[list[str]], list[list[str]], list[tuple[int, int, int]]]:
    """Words of documents (title and text) and of queries, and (query, document, grade) counted from 0, grade 4 the best.

    Judgements count queries by their place in the file, not by the number behind `.I`; code 1 is the best and 4 the least, -1 says
    nothing and is left out.
    """
    records = [_records(folder, name) for name in ("cran.all.1400", "cran.qry")]
    texts, asked = ([_split(r.get("T", "") + " " + _body(r)) for r in rows] for rows in records)
    judged = []
    for i, line in enumerate(_read(folder, "cranqrel").splitlines(), 1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != 3 or not all(re.fullmatch(r"-?\d+", c) for c in cells):
            raise refuse(f"cranqrel:{i}", line, "three numbers: query, document, code")
        q, d, code = map(int, cells)
        if not (1 <= q <= len(asked) and 1 <= d <= len(texts)):
            raise refuse(
                f"cranqrel:{i}",
                line,
                f"a query in 1 to {len(asked)} and a document in 1 to {len(texts)}",
                "queries count by place",
            )
        if 1 <= code <= 4:
            judged.append((q - 1, d - 1, 5 - code))
    return texts, asked, judged


def _body(record: dict[str, str]) -> str:
    """The text without the title that it begins with."""
    title, text = record.get("T", ""), record.get("W", "")
    return text.removeprefix(title)


def _records(folder: Path, name: str) -> list[dict[str, str]]:
    """`.I` begins a record, `.T .A .B .W` its fields."""
    found: list[dict[str, str]] = []
    field = ""
    for i, line in enumerate(_read(folder, name).splitlines(), 1):
        mark = re.fullmatch(r"\.([ITABW])(?:\s+\d+)?\s*", line)
        if mark and mark[1] == "I":
            found.append({})
            field = ""
        elif mark and found:
            field = mark[1]
            found[-1].setdefault(field, "")
        elif field:
            found[-1][field] += line + "\n"
        elif line.strip():
            raise refuse(f"{name}:{i}", line, "a record that begins with .I and a number, then .T, .A, .B or .W")
    if not found:
        raise refuse(name, "", "records that begin with .I")
    return found


def _read(folder: Path, name: str) -> str:
    if not (folder / name).is_file():
        raise refuse(
            "library.path", str(folder), f"a folder with {name}", "give the folder of the Cranfield collection's SMART files"
        )
    return (folder / name).read_text(encoding="utf-8", errors="replace")


def _split(text: str) -> list[str]:
    """Words without their plural (Harman's S-stemmer, 1991)."""
    words = re.findall(r"[a-z]+", text.lower())
    return [_singular(w) for w in words if len(w) > 1]


def _singular(w: str) -> str:
    if w.endswith("ies") and not w.endswith(("eies", "aies")):
        return w[:-3] + "y"
    if w.endswith("es") and not w.endswith(("aes", "ees", "oes")):
        return w[:-1]
    return w[:-1] if w.endswith("s") and not w.endswith(("us", "ss")) else w


def _numbered(texts: list[list[str]], number: dict[str, int], most: int) -> Tensor:
    known = [[number[w] for w in text if w in number][:most] for text in texts]
    width = max(map(len, known))
    return torch.tensor([row + [0] * (width - len(row)) for row in known])
