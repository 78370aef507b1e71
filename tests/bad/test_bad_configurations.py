"""Bad configurations."""

from pathlib import Path

import pytest

from bad.cases_config import CASES, METHOD_FIELDS
from bad.runner import Case, look, refused
from understudy.core.errors import Refused


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name[:60])
def test_configuration(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(case, tmp_path, monkeypatch)


def test_every_field_of_every_method(tmp_path: Path) -> None:
    """Thousands, which touch no file."""
    poor = []
    for case in METHOD_FIELDS:
        try:
            call = case.make(tmp_path)()
        except Refused as e:
            try:
                look(str(e), case)
            except AssertionError as why:
                poor.append(f"{case.name}: {why}")
        except Exception as e:
            poor.append(f"{case.name}: {type(e).__name__}: {e}")
        else:
            poor.append(f"{case.name}: accepted as {call!r:.80}")
    print(f"{len(METHOD_FIELDS)} values of methods' fields")
    assert not poor, "\n".join(poor[:40]) + f"\n{len(poor)} in all"
