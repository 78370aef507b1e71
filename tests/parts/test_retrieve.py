from __future__ import annotations

from math import log

import pytest
import torch

from understudy.parts.retrieve import bm25, counts, latent

DOCUMENTS = torch.tensor([[1, 1, 2, 0], [2, 3, 0, 0], [3, 3, 3, 3]])


def test_counts_leave_the_filler_out() -> None:
    assert counts(DOCUMENTS, 4).tolist() == [[0, 2, 1, 0], [0, 0, 1, 1], [0, 0, 0, 4]]


def test_bm25_by_hand() -> None:
    """Three documents of length 3, 2 and 4; word 1 stands in one of them, twice, where length is the mean."""
    found = bm25(torch.tensor([[1, 0], [1, 1]]), DOCUMENTS, 4, k1=1.2, b=0.75)
    want = log(1 + 2.5 / 1.5) * 2 * 2.2 / (2 + 1.2)
    assert found.tolist() == [pytest.approx([want, 0, 0]), pytest.approx([2 * want, 0, 0])]


def test_words_of_the_same_documents_are_near() -> None:
    texts = torch.tensor([[1, 2, 5], [1, 2, 6], [3, 4, 5], [3, 4, 6]])
    found = latent(texts, 8, 2)
    near = found @ found.T
    assert near[1, 2] > 0.99 and near[1, 3] < 0.5 and latent(texts, 8, 6).shape == (8, 6) and found.isfinite().all()
