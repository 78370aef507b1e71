"""The library's texts, judgements and networks; the reader of the Cranfield collection's files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from understudy.core.errors import Refused
from understudy.worlds import WORLDS
from understudy.worlds.library import _singular, _smart

TEXTS = ["the flow over wings", "heat in composite slabs", "flow at high speed over a wing", "slabs of heat and flow"]


def write(folder: Path) -> Path:
    """Four documents and four queries whose numbers have gaps, as in the collection."""
    records = [f".I {i}\n.T\n{t} .\n.A\nsomebody,a.\n.B\n1958.\n.W\n{t} .\nmore of {t}\n" for i, t in enumerate(TEXTS, 1)]
    (folder / "cran.all.1400").write_text("".join(records))
    (folder / "cran.qry").write_text("".join(f".I {7 * i:03}\n.W\nwhat of {t} .\n" for i, t in enumerate(TEXTS, 1)))
    (folder / "cranqrel").write_text("1 1 1 \n1 3 4 \n2 2 2 \n2 4 -1\n3 3 3 \n4 4 1 \n")
    return folder


def test_smart_files(tmp_path: Path) -> None:
    texts, asked, judged = _smart(write(tmp_path))
    assert texts[0] == ["the", "flow", "over", "wing", "more", "of", "the", "flow", "over", "wing"]  # a title once
    assert asked[1] == ["what", "of", "heat", "in", "composite", "slab"]
    assert judged == [(0, 0, 4), (0, 2, 1), (1, 1, 3), (2, 2, 2), (3, 3, 4)]  # queries by place; code -1 says nothing
    world = WORLDS["library"](0, small=True, path=tmp_path)
    out = world.student()(world.rows(0).x)
    assert (
        out.shape == (8, 2)
        and world.rows(0).y[:, 0].gt(world.rows(0).y[:, 1]).all()
        and 0 <= world.validate(world.student()) <= 1
    )


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("cranqrel", "1 two 3\n", "cranqrel:1.*three numbers"), ("cranqrel", "9 1 1\n", "cranqrel:1.*a query in 1 to 4"),
     ("cran.qry", "what of it\n", "cran.qry:1.*begins with"), ("cran.qry", "", "cran.qry")],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    (write(tmp_path) / name).write_text(text)
    with pytest.raises(Refused, match=said):
        _smart(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(Refused, match=f"path.*{name}"):
        _smart(tmp_path)


def test_singulars() -> None:
    assert list(map(_singular, ["wings", "bodies", "plates", "stress", "radius", "flow"])) == [
        "wing",
        "body",
        "plate",
        "stress",
        "radius",
        "flow",
    ]


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_documents_can_be_shared_and_filler_changes_nothing(who: str) -> None:
    world = WORLDS["library"](0, small=True)
    net = getattr(world, who)()
    x = world.rows(0).x
    each = torch.stack([net({"query": x["query"], "document": x["document"][:, k]}) for k in (0, 1)], 1)
    torch.testing.assert_close(net(x), each)
    shared = {"query": x["query"], "document": world.data.document[None]}
    torch.testing.assert_close(net(shared), net(shared | {"document": world.data.document.expand(8, -1, -1)}))
    longer = {k: torch.nn.functional.pad(t, (0, 3)) for k, t in x.items()}
    torch.testing.assert_close(net(longer), net(x))


def test_a_query_has_one_judged_document_and_splits_share_none() -> None:
    data = WORLDS["library"](0, small=True).data
    first = {}
    for q, d in zip(data.train.x["query"].tolist(), data.train.x["document"].tolist(), strict=True):
        assert first.setdefault(tuple(q), d[0]) == d[0]
    assert data.train.y.eq(torch.tensor([1, 0])).all() and data.pool.y[:, 0].gt(data.pool.y[:, 1]).all()
    assert not set(first) & set(map(tuple, data.valid.x["query"].tolist()))
