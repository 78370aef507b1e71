"""TinyBERT: its layers by the paper's sums, the order of its stages, and the map for depths that don't divide."""

import math

import torch

from understudy.core.run import start
from understudy.methods import tinybert
from understudy.parts.blocks import uniform
from understudy.worlds.encoders import encoders


def test_stages_and_layer_losses(double):
    """Eq. 7 to 10, written with Hugging Face's own hidden states, for a student of 2 blocks and a teacher of 3."""
    method = tinybert(first=0.5, embedding=2.0, hidden=3.0, attention=0.5)
    run = start(method, encoders(1), 1, device="cpu")
    batch, real = run.rows(), run.rows().x["attention_mask"] > 0
    s, u = (run[n].bert(**batch.x, output_hidden_states=True).hidden_states for n in ("student", "teacher"))
    mse = lambda a, b: (a - b)[real].square().mean().item()
    scores = lambda net, m, h: torch.stack([
        q @ k.mT / math.sqrt(q.shape[-1])
        for q, k in zip(*(getattr(net.bert.encoder.layer[m].attention.self, part)(h).chunk(4, -1) for part in ("query", "key")))
    ])  # fmt: skip
    pairs = real[:, :, None] & real[:, None]
    at = [(0, 1), (1, 2)]  # g(1) = 1.5, rounded up, and g(2) = 3
    assert [(m, n) for m, n in enumerate(uniform(2, 3))] == at
    a = [(scores(run["student"], m, s[m]) - scores(run["teacher"], n, u[n])).square().mean(0)[pairs].mean().item() for m, n in at]
    want = {"embedding": 2 * mse(run["embed"](s[0]), u[0]), "attention": 0.5 * sum(a),
            "hidden": 3 * sum(mse(run["project"](s[m + 1]), u[n + 1]) for m, n in at)}  # fmt: skip
    got = {k: v.item() for k, v in method.loss(run, batch).items()}
    assert got.keys() == want.keys() and all(math.isclose(got[k], want[k], rel_tol=1e-6) for k in want), (got, want)
    run.step = run.world.steps // 2
    p, q = (run[n](batch.x)[real] for n in ("teacher", "student"))
    (last,) = method.loss(run, batch).items()
    assert last[0] == "prediction" and math.isclose(last[1].item(), -(p.softmax(1) * q.log_softmax(1)).sum(1).mean().item())


def test_a_copy_has_nothing_left_to_learn_between_its_layers():
    world = encoders(1, small=True)
    run = start(tinybert(), encoders(1, small=True, new_student=world.teacher), 1, device="cpu")
    assert not any(v.item() for v in run.method.loss(run, run.rows()).values())
