"""Cut-outs of pictures."""

from __future__ import annotations

import torch

from understudy.parts.crops import cropped, glimpse


def test_the_whole_picture_is_itself() -> None:
    x = torch.randn(5, 2, 8, 8, dtype=torch.double)
    torch.testing.assert_close(cropped(x, 1.0, 1.0, ratio=1.0), x)


def test_a_crop_lies_within_and_has_its_area() -> None:
    """Pictures whose value is the place: a crop's values span as much of a side as its own size."""
    side = 32
    place = (torch.arange(side, dtype=torch.double) + 0.5) / side
    x = torch.stack([place.expand(side, side), place[:, None].expand(side, side)]).expand(200, 2, side, side)
    seen = cropped(x, 0.2, 0.6, 0.5)
    assert seen.shape == (200, 2, 16, 16) and seen.min() >= 0 and seen.max() <= 1
    wide, high = ((seen[:, k].amax((1, 2)) - seen[:, k].amin((1, 2))) * 16 / 15 for k in (0, 1))
    area, ratio = wide * high, wide / high
    assert (area > 0.17).all() and (area < 0.62).all() and area.std() > 0.05
    assert (ratio < 1.5).all() and (ratio > 0.66).all() and ratio.std() > 0.05


def test_rows_draw_their_own_and_sizes_have_an_end() -> None:
    x = torch.randn(1, 1, 8, 8).expand(4, 1, 8, 8)
    seen = cropped(x, 0.3, 0.5, 0.1)
    assert seen.shape == (4, 1, 4, 4) and not torch.equal(seen[0], seen[1])
    assert glimpse(x, 0.3, 0.5).isfinite().all()
