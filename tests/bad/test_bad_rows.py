"""Bad rows."""

from pathlib import Path

import pytest

from bad.cases_data import CASES
from bad.runner import Case, refused


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name[:60])
def test_rows(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(case, tmp_path, monkeypatch)
