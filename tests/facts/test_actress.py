"""ACTRESS: which boxes are believed, what is born again, and what the average is."""

from functools import partial

import pytest
import torch

from facts.given import Given
from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.world import Player
from understudy.methods.semi.actress import Pool
from understudy.parts.boxes import iou
from understudy.worlds.grounding import grounding

actress = get("actress")


def test_the_best_free_rows_above_the_least_score_against_a_loop():
    free, score, box = torch.rand(40) < 0.7, torch.rand(40), torch.rand(40, 4)
    for least, share in ((0.5, 0.2), (0.9, 0.5), (0.0, 1.0), (0.0, 0.0)):
        pool = Pool(free)
        pool.take(box, score, least, share)
        order = sorted((i for i in range(40) if free[i]), key=lambda i: -score[i])[: round(share * int(free.sum()))]
        kept = {i for i in order if score[i] >= least}
        assert set(pool.kept.nonzero()[:, 0].tolist()) == kept
        assert all(torch.equal(pool.box[i], box[i]) for i in kept)


def test_score_is_the_product_of_three_aspects(double):
    """Answers that don't hang on the view, so that the way back moves the box and the student's is elsewhere."""
    box, ahead, bins = torch.tensor([[4.0, 4.0, 10.0, 12.0]]), torch.tensor([[4.0, 4.0, 10.0, 10.0]]), torch.zeros(1, 4, 12)
    for side, strip in enumerate((2, 2, 4, 5)):  # middles 5, 5, 9, 11 of strips of two pixels
        bins[0, side, strip] = 3.0
    teacher, student = Given({"box": box, "bins": bins}), Given({"box": ahead, "bins": bins})
    p = (torch.tensor(3.0).exp() / (torch.tensor(3.0).exp() + 11)).item()
    said, sure = actress(aspects="confidence").judged(teacher, student, {"picture": torch.zeros(1, 1, 24, 24)})
    assert torch.equal(said, box) and sure.item() == pytest.approx(p)
    torch.manual_seed(0)
    score = actress().judged(teacher, student, {"picture": torch.zeros(1, 1, 24, 24)})[1].item()
    steady = 2 * score / (p * 24 / 48) - 36 / 48  # what is left is the overlap of the box with itself, seen back from a view
    assert 0.3 < steady < 1
    assert iou(box, torch.tensor([[5.0, 5.0, 9.0, 11.0]])).item() == pytest.approx(24 / 48)


@pytest.mark.parametrize("reborn", ["decoder", "nothing"])
def test_the_decoder_is_born_again_with_each_selection_and_the_encoder_goes_on(reborn):
    """24 steps, three rounds of 8; at a learning rate of 0 nothing else moves."""
    world = grounding(0, small=True, player=Player(partial(torch.optim.Adam, lr=0.0)))
    run = start(actress(tau=0.0, share=0.5, rounds=3, reborn=reborn), world, 0, device="cpu")
    changed, believed = [], []
    for _ in range(24):
        before = {k: v.clone() for k, v in run["student"].state_dict().items()}
        fit(run, run.step + 1)
        after = run["student"].state_dict()
        changed.append({k.split(".")[0] for k in after if not torch.equal(before[k], after[k])})
        believed.append(int(run["pool"].kept.sum()))
    born = [i for i, names in enumerate(changed) if "decoder" in names]
    assert believed == [0] * 7 + [14] * 17
    assert born == ([7, 15] if reborn == "decoder" else []) and not any("encoder" in names for names in changed)
    assert all(torch.equal(a, b) for a, b in zip(run["teacher"].parameters(), run["student"].parameters(), strict=True))
