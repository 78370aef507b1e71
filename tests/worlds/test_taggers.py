"""Two phases: text without tags, then the task; the teacher as it is and as it was."""

import torch

from understudy.worlds.taggers import taggers


def test_general_text_first():
    world = taggers(1, small=True)
    mask = world.data.corpus.words.index("[mask]")
    for step in range(world.steps):
        rows = world.rows(step)
        task = step >= world.steps // 2
        assert world.phase(step) == int(task) and bool((rows.y >= 0).any(1).all()) == task and (task or not (rows.y >= 0).any())
        assert not (rows.x["input_ids"] == mask).any() and bool((rows.row < world.data.tagged).all()) == task
    that = world.data.corpus.words.index("that")
    few, general = (
        world.data.train.x["input_ids"][part] for part in (slice(None, world.data.tagged), slice(world.data.tagged, None))
    )
    assert (few == that).any(1).all() and 0.2 < (general == that).any(1).double().mean() < 0.8
    seen = torch.cat([world.rows(s).row for s in range(world.steps // 2)])
    assert len(seen.unique()) == world.size - world.data.tagged, "eight steps of eight are all general rows"


def test_two_processes_share_the_rows_of_a_step():
    whole = taggers(1, small=True, batch=8)
    parts = [taggers(1, small=True, batch=4, rank=r, ranks=2) for r in (0, 1)]
    for step in (0, 5, 13):
        assert torch.equal(whole.rows(step).row, torch.cat([p.rows(step).row for p in parts]))


def test_the_teacher_remembers():
    teacher, x = taggers(1, small=True).teacher(), taggers(1, small=True).rows(0).x
    tags, words = len(taggers(1, small=True).data.corpus.tags), taggers(1, small=True).data.corpus.size
    assert teacher(x).shape[-1] == tags and teacher(x, True).shape[-1] == words
    torch.testing.assert_close(teacher(x, True), teacher.before(x))
    torch.testing.assert_close(teacher(x), teacher.inner(x))


def test_real_sentences_bring_more_tags(tmp_path):
    file = tmp_path / "questions.all"
    file.write_text("".join(f"{i % 2} is it {'ab'[i % 2]} thing{i} ?\n" for i in range(9000)))
    world = taggers(0, path=file)
    assert world.data.tagged == 600 and world.data.corpus.tags == ["0", "1"] and world.metric == "f1"
    assert world.student()(world.rows(0).x).shape[-1] == 2
