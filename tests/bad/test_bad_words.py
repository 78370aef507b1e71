"""Whatever is said: a configuration, an address, a budget or a setting is taken, or refused in one good line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bad.runner import FORM, LONGEST
from understudy import config
from understudy.advice import budget
from understudy.cli.settings import setting
from understudy.core import registry
from understudy.core.errors import Refused
from understudy.data.address import parse
from understudy.models import language
from understudy.teachers.remote import from_address
from understudy.teachers.spending import Budget
from understudy.track import named

NAMES = [f.name for t in (config.Config, *config.TABLES.values()) for f in fields(t)]
WORDS = st.one_of(st.text(max_size=30), st.sampled_from(["kd", "digits", "tiny-cnn", "lm", "sgd", "", "store:x", "a" * 3000]))
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    WORDS,
    st.binary(max_size=3),
    st.integers(min_value=10**400, max_value=10**401),
)
VALUES = st.recursive(
    PLAIN,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.one_of(st.sampled_from(NAMES), WORDS), v, max_size=4),
    max_leaves=8,
)
often = settings(max_examples=80, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def taken(call: Callable[[], Any]) -> None:
    try:
        call()
    except Refused as e:
        said = str(e)
        assert "\n" not in said
        assert len(said) <= LONGEST
        assert FORM.fullmatch(said), said


@often
@given(st.dictionaries(st.one_of(st.sampled_from(NAMES), WORDS), VALUES, max_size=4))
def test_configurations(given: dict[str, Any]) -> None:
    taken(lambda: config.build(given))


@often
@given(st.sampled_from(sorted(registry.files())), st.data())
def test_methods(name: str, data: st.DataObject) -> None:
    known = [f.name for f in fields(registry.get(name))]  # type: ignore[arg-type]
    taken(
        lambda: registry.build(
            {"name": name} | data.draw(st.dictionaries(st.sampled_from([*known, "nothing"]), VALUES, max_size=3))
        )
    )


@often
@given(st.one_of(WORDS, st.from_regex(r"[a-z]{2,8}:[a-z/.]{0,9}(\?[a-z]{1,6}=[a-z0-9.]{0,5}){0,2}", fullmatch=True)))
@pytest.mark.parametrize("read", [parse, from_address, budget.parse, Budget.read, lambda w: Budget.read("", w), named, language.load,
                                  lambda w: setting(w, "kd")])  # fmt: skip
def test_words(read: Callable[[str], Any], word: str) -> None:
    taken(lambda: read(word))
