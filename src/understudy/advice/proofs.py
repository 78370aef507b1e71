"""What is known of a method: its proof, as it came out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from understudy.kept import WRONG, table


@dataclass(frozen=True)
class Proof:
    """method, its world, the verdict with its interval, and whether it holds; None where there is no proof at hand."""

    method: str
    world: str = ""
    verdict: str = "no proof at hand"
    holds: bool | None = None

    @property
    def told(self) -> str:
        return f"{self.verdict} (world '{self.world}')" if self.world else self.verdict


def proof(folder: Path, method: str) -> Proof:
    """Of one method, as its file in a folder of proofs says."""
    path = folder / f"{method.replace('-', '_')}.json"
    try:
        kept = table(path)
        return Proof(method, str(kept["world"]), str(kept["verdict"]), bool(kept["holds"]))
    except WRONG:
        return Proof(method)
