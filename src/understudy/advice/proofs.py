"""What is known of a method: its proof, as it came out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from understudy.kept import WRONG, proofs, table


@dataclass(frozen=True)
class Proof:
    """method, its world and data, the verdict with its interval, and whether it holds; None where there is no proof at hand."""

    method: str
    world: str = ""
    data: str = ""
    verdict: str = "no proof at hand"
    holds: bool | None = None

    @property
    def told(self) -> str:
        where = f"world '{self.world}'" + (f" on '{self.data}'" if self.data else "")
        return f"{self.verdict} ({where})" if self.world else self.verdict


def proof(folder: Path, method: str) -> Proof:
    """Of one method, as the first of its files in a folder of proofs says."""
    try:
        path = proofs(folder, method)[0]
        kept, data = table(path), "" if path.parent == folder else path.parent.name
        return Proof(method, str(kept["world"]), data, str(kept["verdict"]), bool(kept["holds"]))
    except WRONG:
        return Proof(method)
