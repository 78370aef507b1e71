"""What once went wrong doesn't any more, nor do a few hundred fixed changes of good inputs."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from fuzz.run import CORPUS, kept
from fuzz.targets import TARGETS
from fuzz.work import inputs, tried

FEW = {
    "language": 12,
    "sequence": 12,
    "hub-data": 12,
    "recorded": 60,
    "pictures": 60,
    "parquet": 60,
    "chats-parquet": 60,
}  # slow ones
CHANGES = 120  # of each of the others


@pytest.mark.parametrize("name", TARGETS)
def test_reads_or_refuses(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    wrong = []
    for files in itertools.islice(inputs(TARGETS[name], 1, kept(name)), len(kept(name)) + FEW.get(name, CHANGES)):
        told = tried(TARGETS[name], files, tmp_path / "in")
        wrong += [told] if told else []
    assert not wrong, "\n".join(dict.fromkeys(wrong))


@pytest.mark.parametrize("name", TARGETS)
def test_good_ones_are_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the changes would be of nothing."""
    from fuzz.work import lay

    monkeypatch.chdir(tmp_path)
    lay(TARGETS[name].seeds()[0], tmp_path / "in")
    TARGETS[name].read(tmp_path / "in")


def test_the_corpus_is_small() -> None:
    assert sum(p.stat().st_size for p in CORPUS.rglob("*") if p.is_file()) < 300_000
    assert {p.name for p in CORPUS.iterdir() if p.is_dir()} <= set(TARGETS)
