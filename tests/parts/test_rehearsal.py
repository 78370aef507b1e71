from __future__ import annotations

import pytest
import torch

from understudy.core.errors import Refused
from understudy.parts.rehearsal import Exemplars


def test_what_is_kept_does_not_depend_on_how_rows_come() -> None:
    x, y, row = torch.arange(40.0)[:, None], torch.arange(40) % 4, torch.arange(40)
    y[7] = -1
    torch.manual_seed(0)
    one, other = Exemplars(10, x, 40), Exemplars(10, x, 40)
    other.load_state_dict(one.state_dict())
    one.keep(x, y, row)
    for part in torch.randperm(40).split(7):
        other.keep(x[part], y[part], row[part])
        other.keep(x[part], y[part], row[part])  # seen again
    kept = [sorted(m.row[m.y >= 0].tolist()) for m in (one, other)]
    assert kept[0] == kept[1] and len(kept[0]) == 8 and 7 not in kept[0]  # 10 // 4 of each class
    assert torch.equal(one.y[:8].bincount(), torch.full((4,), 2)) and torch.equal(one.x[:8, 0].long(), one.row[:8])
    for c in range(4):
        lots = {int(r): int(one.lot[r]) for r in row[y == c]}
        assert set(sorted(lots, key=lots.__getitem__)[:2]) <= set(kept[0])


def test_draw_never_gives_more_than_there_is() -> None:
    kept = Exemplars(4, torch.zeros(1, 2), 9)
    assert kept.draw(3)[0].shape == (0, 2)
    kept.keep(torch.ones(2, 2), torch.tensor([0, 1]), torch.tensor([8, 3]))
    x, y = kept.draw(3)
    assert x.shape == (2, 2) and sorted(y.tolist()) == [0, 1]
    kept.clear()
    assert not len(kept.draw(3)[1])


def test_rows_that_are_no_tensor_are_refused() -> None:
    with pytest.raises(Refused, match="x="):
        Exemplars(4, {"ids": torch.zeros(1)}, 9)
