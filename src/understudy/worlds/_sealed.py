"""Three splits, of which the last is not looked at while anything learns."""

from __future__ import annotations

from typing import Any

from understudy.core import seal
from understudy.core.errors import Sealed


class Splits:
    """train, valid, and a test split that is sealed while anything learns; without one, at all times."""

    def __init__(self, train: Any, valid: Any, test: Any = None) -> None:
        self.train, self.valid, self._test = train, valid, test

    @property
    def test(self) -> Any:
        seal.check("the test split")
        if self._test is None:
            raise Sealed("the test split of a small world was read")
        return self._test
