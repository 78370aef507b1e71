"""Word problems: steps and answers are right, real ones are read, what can't be is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from understudy.core.errors import Refused
from understudy.worlds.problems import distractors, readings, reasons


def words(world, ids) -> list[str]:
    return world.data.words.text(ids).split()


def test_steps_lead_to_the_answer_and_splits_are_apart() -> None:
    world = reasons(0, small=True)
    data, seen = world.data, []
    for part in (data.train, data.valid, data.pool):
        for ask, steps, y in zip(part.more["ask"], part.steps, part.y, strict=True):
            (first, second), said = " ".join(words(world, steps)).strip(" .").split(" . "), words(world, ask)
            for step in (first, second):
                sum_, result = step.split(" = ")
                assert eval(sum_) == int(result) and 0 <= int(result) < 10
            assert second.startswith(first[-1]) and words(world, y.clamp(min=0)) == [second[-1]]
            assert said[:2][0] == "[rationale]" and first[0] == said[3]
            seen.append(" ".join(said))
    assert len(set(seen)) == len(seen)


def test_a_teacher_says_the_likeliest_words_to_their_end() -> None:
    world = reasons(0, small=True)
    writer, ask = world.teacher(), world.rows(0).ask
    said = writer(ask)
    for row, prompt in zip(said.tolist(), ask, strict=True):
        so_far = prompt
        for word in row:
            if word < 0:
                assert so_far[-1] == 0  # it ended
                break
            assert word == writer.lm(so_far[None])[0, -1].argmax()
            so_far = torch.cat([so_far, torch.tensor([word])])


def test_a_word_gives_the_answer_away_in_training_only() -> None:
    world = distractors(0)
    numbers = {w: i for i, w in enumerate(("monday", "tuesday", "friday", "noon", "dawn", "night"))}

    def told(part) -> float:
        hits = [int(words(world, y.clamp(min=0))[0]) == next(numbers[w] for w in words(world, x) if w in numbers)
                for x, y in zip(part.x, part.y, strict=True)]  # fmt: skip
        return sum(hits) / len(hits)

    assert told(world.data.train) > 0.85 and told(world.data.valid) < 0.25


def test_readings_are_answered_some_wrongly_in_training() -> None:
    world = readings(0)

    def right(part) -> float:
        hits = 0
        for prompt, y in zip(part.x["prompt"], part.y, strict=True):
            said, answer = words(world, prompt), words(world, y.clamp(min=0))[0]
            items = [w for w in said[said.index(":") + 1 : -1] if w != "*"]
            hits += answer == (str(items.count("pens")) if said[0] == "how" else said[said.index("*", said.index(":")) + 1])
        return hits / len(part.y)

    assert right(world.data.valid) == right(world.data.pool) == 1 and 0.6 < right(world.data.train) < 0.9


def folder(tmp_path: Path) -> Path:
    row = lambda i: {
        "question": f"Al has {i} pens and gets 2. How many?",
        "answer": f"He has {i}+2=<<{i}+2={i + 2}>>{i + 2} pens.\n#### {i + 2}",
    }
    for name, first, n in (("train", 0, 40), ("test", 100, 20)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(row(first + i)) for i in range(n)))
    model = lambda i: {
        "question": row(i)["question"],
        "ground_truth": f"x\nA: {i + 2}",
        "6b_finetuning": {"solution": f"so {i}\nA: 7"},
    }
    (tmp_path / "example_model_solutions.jsonl").write_text("\n".join(json.dumps(model(i)) for i in range(30)))
    return tmp_path


def test_real_problems_are_read_with_peoples_steps_or_a_models(tmp_path: Path) -> None:
    world = reasons(0, ready=True, path=folder(tmp_path))
    assert (world.size, len(world.data.valid.y), len(world.data.test.y)) == (36, 4, 20)
    b = world.rows(0)
    said, asked = world.teacher()(b.ask)[0], words(world, b.ask[0])
    n = "".join(asked[asked.index("has") + 1 : asked.index("pens")])
    assert words(world, said.clamp(min=0)) == ["he", "has", *n, "+", "2", "=", *str(int(n) + 2), "pens", "."]
    assert words(world, b.y[0].clamp(min=0)) == list(str(int(n) + 2))
    other = reasons(0, ready=True, path=tmp_path, by="6b_finetuning")
    assert (other.size, len(other.data.valid.y), len(other.data.test.y)) == (24, 3, 3)
    assert words(other, other.teacher()(other.rows(0).ask)[0].clamp(min=0))[0] == "so"


def test_what_is_no_such_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"reasons.by='bert'"):
        reasons(0, path=tmp_path, by="bert")
    with pytest.raises(Refused, match=r"a folder with train.jsonl"):
        reasons(0, path=tmp_path)
    (folder(tmp_path) / "train.jsonl").write_text('{"question": "how many?"}\n')
    with pytest.raises(Refused, match=r"train.jsonl:1=.*an object with 'question', 'answer'"):
        reasons(0, path=tmp_path)
