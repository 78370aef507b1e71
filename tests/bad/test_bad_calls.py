"""Bad calls from Python."""

from pathlib import Path

import pytest

from bad.cases_calls import CASES
from bad.runner import Case, refused


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name[:60])
def test_calls(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(case, tmp_path, monkeypatch)
