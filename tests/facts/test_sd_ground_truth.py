"""The study of ground truth in self-distillation: its closed form and its best weight, on a kernel that can be seen through."""

import numpy as np
import pytest

from understudy.studies.sd_ground_truth import Fits


def seen_through(d, ridge, y):
    made = Fits.__new__(Fits)
    made.train = made.at_valid = made.at_test = np.diag(d)
    made.ridge, made.y = ridge, np.array(y)
    return made


def test_each_direction_shrinks_by_itself():
    d, ridge, a = np.array([4.0, 1.0, 0.25]), 0.5, 0.25
    made, s = seen_through(d, ridge, [1.0, -2.0, 3.0]), d / (d + 0.5)
    first = made.fit(made.y)[0]
    assert first == pytest.approx(s * made.y)
    second = made.fit(a * made.y + (1 - a) * first)[0]
    assert second == pytest.approx(s * (a + (1 - a) * s) * made.y)
    assert (second / first)[0] > (second / first)[2], "small directions shrink more"
    got = made.compared(a)
    assert got["apart"] < 1e-12 and got["limit"] < 1e-12
    assert made.fit(made.y, ridge / a)[0] == pytest.approx(d / (d + 2.0) * made.y)


def test_a_closed_form_that_is_wrong_would_be_seen():
    made = seen_through(np.array([4.0, 1.0]), 0.5, [1.0, -2.0])
    fit, made.fit = made.fit, lambda targets, ridge=None: [v + 1e-6 for v in fit(targets, ridge)]
    assert made.compared(0.5)["apart"] > 1e-8


def test_the_best_weight_is_found_where_validation_rows_are_a_mixture():
    made = seen_through(np.array([4.0, 1.0]), 0.5, [1.0, -2.0])
    first = made.fit(made.y)
    zero = made.fit(first[0])
    made.valid = made.test = 0.3 * first[0] + 0.7 * zero[0]
    assert made.searched()["weights"][0] == pytest.approx(0.3)
