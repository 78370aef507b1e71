"""Margin-MSE and its comparisons against their authors' values; only differences within a query count."""

import pytest
import torch

from facts.given import terms
from facts.reference import agrees, cases, inputs
from understudy.core.registry import get
from understudy.parts.ranking import ranknet
from understudy.worlds import WORLDS


def _terms(s, u, y=None, **fields):
    batch = {"x": None, "y": torch.tensor([[1, 0]]).expand(len(s), -1) if y is None else y}
    batch = type("Rows", (dict,), {"__getattr__": dict.__getitem__})(batch)
    return terms(get("margin-mse")(**fields), WORLDS["library"](small=True), batch, student=s, teacher=u)


@cases("Margin-MSE")
def test_agrees_with_the_authors(record):
    s, u = inputs(record).values()
    s.requires_grad_()
    if record["case"] == "ranknet":
        agrees(record, ranknet(s, torch.tensor([[1, 0]]).expand(8, -1)), s)
    else:
        agrees(record, _terms(s, u, match=record["settings"]["match"])["soft"], s)


def test_a_query_may_have_its_own_zero():
    s, u = torch.randn(5, 2, dtype=torch.double, requires_grad=True), torch.randn(5, 2, dtype=torch.double)
    loss = _terms(s, u)["soft"]
    assert _terms(s + 3 * torch.randn(5, 1), u - 7)["soft"].item() == pytest.approx(loss.item())
    (g,) = torch.autograd.grad(loss, s)
    torch.testing.assert_close(g[:, 0], -g[:, 1])
    assert _terms(s + 7, u, match="pointwise")["soft"] != _terms(s, u, match="pointwise")["soft"]


def test_by_hand():
    """Margins of the student 1 and -2, of the teacher 3 and 0: ((1 - 3)^2 + (-2 - 0)^2) / 2."""
    s, u = torch.tensor([[2.0, 1.0], [0.0, 2.0]]), torch.tensor([[9.0, 6.0], [5.0, 5.0]])
    assert _terms(s, u)["soft"].item() == 4 and _terms(s, u)["hard"].item() == 0
    several = torch.tensor([[1.0, 0.0, 2.0]])
    assert _terms(several, torch.zeros(1, 3), torch.tensor([[1, 0, 0]]))["soft"].item() == 1  # (1 + 1) / 2
