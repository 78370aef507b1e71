from __future__ import annotations

import math

import pytest

from understudy.parts.schedule import cosine, ramp, sigmoid_ramp, sine_ramp, within


def test_cosine_by_hand() -> None:
    f = cosine(100)
    assert [f(0), f(50), f(100), f(200)] == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert f(25) == pytest.approx((1 + 0.5**0.5) / 2)
    assert all(f(k + 1) < f(k) for k in range(100))


def test_cosine_warms_up() -> None:
    f = cosine(110, warmup=10)
    assert [f(0), f(4), f(9), f(10), f(60), f(110)] == pytest.approx([0.1, 0.5, 1.0, 1.0, 0.5, 0.0])


@pytest.mark.parametrize(("steps", "warmup"), [(0, 0), (1, 0), (5, 5), (3, 5)])
def test_cosine_of_hardly_any_steps(steps: int, warmup: int) -> None:
    assert all(0 <= cosine(steps, warmup)(k) <= 1 for k in range(8))


def test_ramp_by_hand() -> None:
    assert [ramp(0, 4), ramp(1, 4), ramp(3, 4), ramp(9, 4)] == [0.25, 0.5, 1.0, 1.0] and ramp(0, 0) == 1.0


def test_within_by_hand() -> None:
    phase = lambda step: 0 if step < 4 else 1
    assert [within(phase, s, 6) for s in range(6)] == [0, 0.25, 0.5, 0.75, 0, 0.5]
    assert within(lambda _: 0, 5, 10) == 0.5 and 0 <= within(phase, 9, 6) < 1


def test_ramps_of_a_weight_by_hand() -> None:
    assert [sigmoid_ramp(s, 10) for s in (0, 5, 10, 99)] == pytest.approx([math.exp(-5), math.exp(-1.25), 1.0, 1.0])
    assert [sine_ramp(s, 6) for s in (0, 1, 3, 6, 99)] == pytest.approx([0.0, math.sin(math.pi / 12), 0.5**0.5, 1.0, 1.0])
    assert sigmoid_ramp(0, 0) == sine_ramp(0, 0) == 1.0
