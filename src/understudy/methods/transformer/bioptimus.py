"""BIOptimus: new words begin as a general model understands them in context (Pavlova and Makhlouf, BioNLP 2023)."""

import torch

from understudy.core.batch import Batch, Views
from understudy.core.card import Card
from understudy.core.errors import refuse
from understudy.core.method import Method, at, choice, register, span
from understudy.core.taps import module_at, probe
from understudy.parts.blocks import inherit_
from understudy.parts.masking import hide
from understudy.parts.vocabulary import by_word, set_rows_


@register
class BIOptimus(Method):
    r"""A token new to the vocabulary begins as what the general model makes of its pieces wherever it occurs; then the model goes
    on learning hidden words, from easy to hard.

        e_v = mean over contexts c of v ( mean over pieces i of v in c ( h_i(c) ) ),    then L = CE(y, s) on hidden words

    In four phases tokens are hidden, then whole words, then more of them (`late`), then without corruption: every hidden token
    is the mask, where before a tenth stays as it is and a tenth is another word. All other weights begin as the teacher's.

    Shapes: h [N, L', D] the teacher's states of a row in its own tokens; e [V, D]; s [N, L, V]; y [N, L], -1 where nothing is
    hidden; words [N, L], [N, L'] the number of the word that a token is of.
    Departures: the phases are those of the authors' page, their lengths (a quarter each) ours. The layer that h is read at isn't
    told there: the last. The vectors are scaled to the length of the words that the model has, or a head that shares them would
    hear nothing else.
    """

    card = Card(
        "BIOptimus: Pre-training an Optimal Biomedical Language Model with Curriculum Learning for Named Entity Recognition",
        "arXiv:2308.08625", 2023, slug="bioptimus", world="jargon", baseline={"begin": "random"}, tags={"teacher", "taps"},
        tasks=("tag",), forwards=1,
    )  # fmt: skip

    rate: float = span(0.15, 0.01, 0.9)  # of tokens hidden, in phases 1 and 2
    late: float = span(0.2, 0.01, 0.9)  # and in phases 3 and 4
    begin: str = choice("context", "pieces", "random")  # new tokens: states in context, or the mean of the pieces' embeddings
    curriculum: str = choice("phases", "none")  # none: phase 1 all along
    mask: int = span(1, 0, 10**7)  # the token that hides another; BERT's is 103
    words_at: str = at("bert.embeddings.word_embeddings", "student", "teacher")
    teacher_at: str = at("stage:-1", "teacher")

    def setup(self, world):
        if "words" not in world.rows(0):
            raise refuse("world", type(world).__name__, "rows in two tokenisations, with `words`", "'jargon' shows how they look")
        nets = super().setup(world)
        inherit_(nets["student"], nets["teacher"], grown=True)
        if self.begin != "random":
            mine, its = (module_at(nets[name], self.words_at).weight for name in ("student", "teacher"))
            set_rows_(mine, len(its), *self._contexts(world, nets["teacher"], mine[len(its) :], len(its)))
        return nets

    def _contexts(self, world, teacher, new, first):
        """Sums over the contexts of each new token, and their number; -> [V', D], [V']"""
        sums, counts = torch.zeros_like(new), torch.zeros_like(new[:, 0])
        for rows in world.sweep():
            pieces = probe(teacher, self.teacher_at if self.begin == "context" else self.words_at, rows.x)
            own, ids = rows.words["student"], rows.x["student"]["input_ids"]
            found = by_word(pieces, rows.words["teacher"], max(own.shape[1], pieces.shape[1]))
            row, place = ((ids >= first) & (own >= 0)).nonzero(as_tuple=True)
            which = ids[row, place] - first
            sums.index_add_(0, which, found[row, own[row, place]].to(sums))
            counts.index_add_(0, which, torch.ones_like(which, dtype=counts.dtype))
        return sums, counts

    def source(self, run):
        rows, phase = run.rows(), int(4 * run.progress) if self.curriculum == "phases" else 0
        ids, whole = rows.x["student"]["input_ids"], rows.words["student"] if phase >= 1 else None
        vocab = module_at(run.nets["student"], self.words_at).num_embeddings
        read, y = hide(ids, rows.y >= 0, self.late if phase >= 2 else self.rate, self.mask, vocab, words=whole, corrupt=phase < 3)
        return Batch({**rows, "x": Views({**rows.x, "student": {**rows.x["student"], "input_ids": read}}), "y": y})

    def loss(self, run, batch):
        return {"hard": run.world.hard(run["student"](batch.x), batch)}
