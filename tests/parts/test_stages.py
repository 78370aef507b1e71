"""A budget in stages, each with the whole of a schedule."""

import pytest

from understudy.parts.schedule import cosine
from understudy.parts.stages import anew, stage


def test_stages_have_their_shares():
    assert [stage(s, 10, (0.3, 0.2, 0.5)) for s in range(10)] == [0, 0, 0, 1, 1, 2, 2, 2, 2, 2]
    assert {stage(s, 10, (0.0, 1.0)) for s in range(10)} == {1} and {stage(s, 10, (1.0, 0.0)) for s in range(10)} == {0}
    assert {stage(s, 7, (1.0,)) for s in range(9)} == {0}


def test_each_goes_through_the_whole_schedule():
    phase = lambda step: stage(step, 100, (0.25, 0.75))
    factor = anew(cosine(100), phase, 100)
    assert factor(0) == factor(25) == 1 and factor(24) < 0.01 and factor(99) < 0.01
    assert factor(12) == pytest.approx(cosine(100)(48))
    assert anew(None, phase, 100) is None
