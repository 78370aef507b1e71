"""The core alone: taps, streams, views, hidden labels, checkpoints, terms that aren't finite, composition."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from understudy import methods
from understudy.core import checkpoint, registry
from understudy.core.batch import Batch, Views
from understudy.core.errors import NotFinite, Refused, TapError
from understudy.core.fit import fit, turns
from understudy.core.run import Run, artefact, start
from understudy.core.seeds import key, stream
from understudy.core.taps import anatomy, probe, tap
from understudy.core.world import Player, World, recast, sgd
from understudy.teachers import Stored
from understudy.worlds.digits import Net, Part, digits
from understudy.worlds.rows import Rows

X = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def little(**changes: Any) -> Rows:
    with stream("little"):
        return recast(digits(0), batch=8, **{"given_teacher": Net(8, 8, 16)} | changes)


def begin(method: Any, world: Any = None, seed: int = 1, **how: Any) -> Run:
    return start(method, world or little(), seed, device="cpu", **how)


# ------------------------------------------------------------------------------------------------------------------------- taps


class Wrapper(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.head = nn.Embedding(20, 6), nn.LSTM(6, 8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.lstm(self.embed(ids))[0].mean(1))


class Viewer(nn.Module):
    """Patches, a class token, positions, attention blocks."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.patch, self.cls, self.places = (
            nn.Conv2d(1, 16, 2, 2),
            nn.Parameter(torch.zeros(1, 1, 16)),
            nn.Parameter(torch.zeros(1, 17, 16)),
        )
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True) for _ in range(depth)
        )
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = self.patch(x).flatten(2).transpose(1, 2)
        h = torch.cat([self.cls.expand(len(h), -1, -1), h], 1) + self.places
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h)[:, 0])


def bert(layers: int = 2) -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=32, num_labels=3
    )
    return BertForSequenceClassification(config).eval()


def test_names_inputs_and_outputs() -> None:
    net = Net(3, 4, 8).eval()
    out, (a, b, c) = tap(net, ("stage1", "head:in", "head:out"), X)
    assert torch.equal(out, net(X)) and torch.equal(a, net.stage1(X)) and torch.equal(c, out)
    assert torch.equal(b, net.embed(net.pool(net.stage2(net.stage1(X)))))
    assert torch.equal(tap(net, "stage2.0", X)[1], tap(net, "stage2.1:in", X)[1])
    assert torch.equal(tap(net, "", X)[1], out) and tap(net, (), X)[1] == ()


def test_words_that_depend_on_the_network() -> None:
    net = Net(3, 4, 8).eval()
    assert torch.equal(tap(net, "penultimate", X)[1], tap(net, "head:in", X)[1])
    stages = tap(net, "stages", X)[1]
    assert isinstance(stages, tuple) and [tuple(s.shape[1:]) for s in stages] == [(3, 8, 8), (4, 4, 4)]
    assert torch.equal(tap(net, "stage:-1", X)[1], stages[-1]) and torch.equal(tap(net, "stage:0", X)[1], stages[0])
    with pytest.raises(TapError, match="'stage:7'.*2 stages"):
        tap(net, "stage:7", X)


def test_a_gradient_flows_through_what_is_read() -> None:
    net = Net(3, 4, 8)
    tap(net, "stage1", X)[1].sum().backward()
    assert net.stage1[0].weight.grad is not None and net.head.weight.grad is None


def test_a_name_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(TapError, match=r"stagge1.*did you mean 'stage1'"):
        tap(Net(3, 4, 8), "stagge1", X)
    with pytest.raises(TapError, match="neither ':in' nor ':out'"):
        tap(Net(3, 4, 8), "stage1:inside", X)


def test_a_module_that_never_runs() -> None:
    net = Net(3, 4, 8)
    net.spare = nn.Linear(1, 1)
    with pytest.raises(TapError, match="'spare' never fired"):
        tap(net, "spare", X)
    assert not any(m._forward_hooks for m in net.modules())


def test_wrappers_are_seen_through() -> None:
    net = Net(3, 4, 8).eval()
    outer = Wrapper(Wrapper(net))
    for at in ("stage2", "penultimate", "stage:-1", "head:in"):
        assert torch.equal(tap(outer, at, X)[1], tap(net, at, X)[1]), at
    assert torch.equal(tap(outer, "inner.inner.stage2", X)[1], tap(net, "stage2", X)[1])
    with pytest.raises(TapError, match="Net"):
        tap(outer, "nothing", X)


def test_a_recurrent_network_gives_a_tuple() -> None:
    net, ids = Reader(), torch.arange(12).view(2, 6)
    assert tap(net, "lstm", ids)[1].shape == (2, 6, 8)
    assert tap(net, "penultimate", ids)[1].shape == (2, 8)
    assert all(f.shape[0] == 2 for f in tap(net, "stages", ids)[1])


@pytest.mark.parametrize("depth", [2, 4, 12])
def test_stages_of_a_vision_transformer_are_its_blocks(depth: int) -> None:
    net = Viewer(depth).eval()
    assert anatomy(net, X).stages == tuple(f"blocks.{i}" for i in range(depth))
    assert [f.shape for f in tap(net, "stages", X)[1]] == [(4, 17, 16)] * depth
    assert anatomy(net, X).penultimate == "head:in"


@pytest.mark.parametrize("layers", [2, 4, 12])
def test_stages_of_a_hugging_face_model_are_its_layers(layers: int) -> None:
    net, ids = bert(layers), torch.arange(12).view(2, 6)
    assert anatomy(net, ids).penultimate == "classifier:in" and tap(net, "penultimate", ids)[1].shape == (2, 16)
    assert anatomy(net, ids).stages == tuple(f"bert.encoder.layer.{i}" for i in range(layers))
    assert tap(net, "stage:-1", ids)[1].shape == (2, 6, 16)


def test_looking_disturbs_nothing() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(144, 10)).train()
    net[1].eval()  # a user's own choice
    before, chance = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    assert probe(net, "penultimate", X).shape == (4, 144) and not probe(net, "0", X).requires_grad
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items()) and torch.equal(chance, torch.get_rng_state())
    assert [m.training for m in net] == [True, False, True, True, True] and not any(m._forward_hooks for m in net.modules())


def test_the_last_of_several_calls_is_read() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.once = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.once(self.once(x))

    net, x = Twice(), torch.randn(2, 3)
    assert torch.equal(tap(net, "once", x)[1], net(x))


# ---------------------------------------------------------------------------------------------------------------------- streams


def test_a_stream_hangs_on_its_key_and_leaves_no_trace() -> None:
    before = torch.get_rng_state()
    draws = []
    for parts in ((1, 2), (1, 2), (2, 1), (12,), ("1", 2), (1, 2, "watch")):
        with stream(*parts):
            draws.append(torch.rand(4).tolist())
    assert draws[0] == draws[1] and len({tuple(d) for d in draws}) == 5
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(RuntimeError), stream(1):
        raise RuntimeError
    assert torch.equal(before, torch.get_rng_state())


def test_keys_are_the_same_everywhere() -> None:
    assert key(1, 2) == key(1, 2) != key(12) and 0 <= key("x") < 2**63


def test_rows_are_each_seen_once_an_epoch() -> None:
    world = recast(digits(0), batch=10)
    n, every = world.size // 10, list(range(world.size))
    first, second = (torch.cat([world.rows(s).row for s in range(e * n, (e + 1) * n)]) for e in (0, 1))
    assert first.sort().values.tolist() == second.sort().values.tolist() == every and not torch.equal(first, second)
    swept = torch.cat([b.row for b in world.sweep()])
    assert swept.sort().values.tolist() == every
    with pytest.raises(Refused, match="split"):
        world.rows(0, "test")


@pytest.mark.parametrize("step", [0, 5, 37, 100])
def test_ranks_share_the_rows_of_one_process(step: int) -> None:
    one = recast(digits(0), batch=16).rows(step).row
    two = [recast(digits(0), batch=8, rank=r, ranks=2).rows(step).row for r in (0, 1)]
    assert torch.equal(one, torch.cat(two))


def test_an_epoch_is_counted_in_steps_of_all_processes() -> None:
    """However the world came to its batch and ranks: `start` recasts the world at a launch of several processes."""
    one = digits(0)
    want = -(-one.size // 64)
    assert Rows(data=one.data, batch=64).epoch == Rows(data=one.data, batch=32, ranks=2).epoch == want
    assert recast(one, batch=64).epoch == want, "recast(batch=...) leaves epoch as it was"
    assert recast(one, ranks=2).epoch == want, "recast(ranks=...) leaves epoch as it was"


def test_a_ready_teacher_has_the_dtype_of_its_rows() -> None:
    for dtype in (torch.float, torch.double):
        torch.set_default_dtype(dtype)
        world = digits(0, ready=True, norm=False)
        assert world.teacher()(world.rows(0).x).dtype == dtype


# ------------------------------------------------------------------------------------------------------------------------ views


class Sees(nn.Module):
    """Notes what reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.seen = nn.Linear(2, 3), []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        return self.head(x.float())


def viewed(x: Any, **more: Any) -> Rows:
    class D:
        train = valid = test = Part(x, torch.zeros(8, dtype=torch.long))

    return Rows(data=D(), batch=4, new_student=Sees, given_teacher=Sees(), **more)


def test_each_network_gets_its_own_view() -> None:
    ids, other = torch.randn(8, 2), torch.randn(8, 2) + 100
    run = fit(begin(methods.kd(), viewed(Views(student=ids, teacher=other))), 2)
    assert all(x.abs().max() < 50 for x in run.nets["student"].seen) and all(x.abs().min() > 50 for x in run.nets["teacher"].seen)
    assert run.nets["student"].seen[-1].tolist() == ids[run.world.rows(1).row].tolist()


def test_normalisation_may_differ_between_teacher_and_student() -> None:
    x = torch.randn(8, 2)
    world = viewed(x, views={"student": lambda v: v * 2, "teacher": lambda v: v - 7})
    run = fit(begin(methods.kd(), world), 1)
    mine = x[world.rows(0).row]
    assert torch.equal(run.nets["student"].seen[-1], mine * 2) and torch.equal(run.nets["teacher"].seen[-1], mine - 7)
    only = fit(begin(methods.kd(), viewed(x, views={"student": lambda v: v * 2})), 1)
    assert torch.equal(only.nets["teacher"].seen[-1], mine), (
        "who has no view of its own sees rows as they are; the teacher isn't the student"
    )


def test_views_hold_in_compositions_taps_and_copies() -> None:
    x = torch.randn(8, 2)
    world = viewed(x, views={"student": lambda v: v * 2, "teacher": lambda v: v - 7})
    run = fit(begin(methods.compose(methods.kd(), methods.alone()), world), 1)
    mine = x[world.rows(0).row]
    assert torch.equal(run.nets["student"].seen[-1], mine * 2) and torch.equal(run.nets["teacher"].seen[-1], mine - 7)
    assert torch.equal(run.tap("student", "head:in", mine)[1], mine * 2)
    made = artefact(run)
    made(mine)
    assert torch.equal(made.seen[-1], mine * 2), "the result sees as the student saw"


# --------------------------------------------------------------------------------------------------------------- hidden labels


def test_rows_without_labels_still_learn_from_the_teacher() -> None:
    world = little()
    none = recast(world, rows=lambda step, split="train": Batch({**world.rows(step, split), "y": torch.full((8,), -1)}))
    run = begin(methods.kd(), none)
    with stream(0):
        _, terms = turns(run)
    assert terms["student"]["hard"].item() == 0 and terms["student"]["soft"].item() > 0
    before = copy.deepcopy(run.nets["student"].state_dict())
    fit(run, 1)
    assert not torch.equal(before["head.weight"], run.nets["student"].head.weight)


# ------------------------------------------------------------------------------------------------------------------ checkpoints


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    run = begin(methods.kd())
    for step in (1, 2, 3):
        checkpoint.write(fit(run, step), tmp_path)
    kept = checkpoint.found(tmp_path)
    assert [p.name for p in kept] == ["step-000000002.safetensors", "step-000000003.safetensors"]
    assert checkpoint.latest(tmp_path)["step"] == 3
    whole = kept[1].read_bytes()
    for length in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        kept[1].write_bytes(whole[:length])
        with pytest.raises(Refused, match="checkpoint"):
            checkpoint.read(kept[1])
        assert checkpoint.latest(tmp_path)["step"] == 2
    kept[0].write_bytes(b"nothing")
    with pytest.raises(Refused, match="readable checkpoint"):
        checkpoint.latest(tmp_path)
    assert checkpoint.latest(tmp_path / "none") is None


def test_a_flipped_bit_of_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    path = checkpoint.write(fit(begin(methods.kd()), 1), tmp_path)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(Refused, match="checkpoint"):
        checkpoint.read(path)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    saved = checkpoint.read(checkpoint.write(fit(begin(methods.kd()), 1), tmp_path))
    with pytest.raises(Refused, match=r"checkpoint\.method"):
        checkpoint.restore(begin(methods.kd(t=2.0)), saved)
    with pytest.raises(Refused, match="networks"):
        checkpoint.restore(begin(methods.kd(), little(new_student=lambda: Net(5, 4, 8))), saved)


def test_a_method_tapped_in_several_places_resumes(tmp_path: Path) -> None:
    """A tuple in the configuration is a list in JSON: they are the same configuration."""
    method = methods.fitnet(student_at="stage:-1", teacher_at="stage:-1")
    several = methods.compose(method, methods.alone())
    pairs = [
        registry.get(n)
        for n in registry.files()
        if not registry.get(n).card.tasks and any(isinstance(f.default, tuple) for f in dataclasses.fields(registry.get(n)))
    ]
    for i, m in enumerate([several, *(cls() for cls in pairs)]):
        saved = checkpoint.read(checkpoint.write(fit(begin(m), 1), tmp_path / str(i)))
        assert checkpoint.restore(begin(m), saved).step == 1


def test_best_is_kept_with_the_checkpoint(tmp_path: Path) -> None:
    run = fit(begin(methods.kd()), 2)
    run.judge()
    fit(run, 3)
    again = checkpoint.restore(begin(methods.kd(), seed=5), checkpoint.read(checkpoint.write(run, tmp_path)))
    assert again.best.step == 2 and again.best.score == run.best.score
    assert all(torch.equal(v, again.best.artefact.state_dict()[k]) for k, v in run.best.artefact.state_dict().items())
    assert not torch.equal(again.best.artefact.head.weight, again.nets["student"].head.weight)


# ------------------------------------------------------------------------------------------------------------------- not finite


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_term_that_is_not_finite_is_named_and_nothing_moves(monkeypatch: pytest.MonkeyPatch, bad: float) -> None:
    run = fit(begin(methods.kd()), 2)
    before, momentum = copy.deepcopy(run.nets.state_dict()), copy.deepcopy(run.opts["student"].state_dict())
    old = type(run.method).loss
    monkeypatch.setattr(
        type(run.method), "loss", lambda self, run, b: {**old(self, run, b), "odd": run["student"].head.bias.sum() * bad}
    )
    with pytest.raises(NotFinite, match=r"'odd' of 'kd'.*step 2"):
        fit(run, 3)
    learned = {k for k, _ in run.nets.named_parameters()}
    assert all(torch.equal(v, before[k]) for k, v in run.nets.state_dict().items() if k in learned) and run.step == 2
    now = run.opts["student"].state_dict()["state"]
    assert all(torch.equal(s["momentum_buffer"], now[i]["momentum_buffer"]) for i, s in momentum["state"].items())


def test_finite_terms_whose_sum_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin(methods.alone())
    monkeypatch.setattr(
        type(run.method), "loss", lambda self, run, b: dict.fromkeys("ab", run["student"].head.bias.sum() * 0 + 3e38)
    )
    with pytest.raises(NotFinite, match="sum"):
        fit(run, 1)


# ------------------------------------------------------------------------------------------------------------------ composition


def loss_of(method: Any, world: Any = None, step: int = 0) -> dict[str, Tensor]:
    run = begin(method, world)
    run.step = step
    with stream(run.seed, step):
        return turns(run)[1]["student"]


def test_terms_are_named_weighted_and_hard_is_taken_once() -> None:
    alone, kd, fitnet = (loss_of(m) for m in (methods.alone(), methods.kd(), methods.fitnet()))
    both = loss_of(methods.compose(methods.kd(), methods.fitnet(), weights=(1.0, 3.0)))
    assert list(both) == ["hard", "kd.soft", "fitnet.hint"]
    assert both["hard"].item() == kd["hard"].item() != fitnet["hard"].item() == alone["hard"].item()
    assert both["kd.soft"].item() == kd["soft"].item()
    again = loss_of(methods.compose(methods.kd(), methods.fitnet(), weights=(0.5, 6.0)))
    assert again["fitnet.hint"].item() == pytest.approx(2 * both["fitnet.hint"].item()) and again[
        "kd.soft"
    ].item() == pytest.approx(kd["soft"].item() / 2)
    assert loss_of(methods.compose(methods.fitnet(), methods.kd()))["hard"].item() == fitnet["hard"].item()


def test_combined_methods_read_several_stages_of_a_stored_teacher() -> None:
    """One name, 'stages', stands for several stored tensors there."""
    world = little()
    stored = Stored(world.given_teacher, [world.data.train.x], ("stages",))
    online, kept = (
        loss_of(methods.compose(methods.kd(), methods.vid()), w) for w in (world, recast(world, given_teacher=stored))
    )
    assert list(online) == list(kept)
    torch.testing.assert_close(list(kept.values()), list(online.values()))


def test_a_method_twice_has_two_names() -> None:
    both = loss_of(methods.compose(methods.kd(t=1.0), methods.kd(t=8.0)))
    assert list(both) == ["hard", "kd0.soft", "kd1.soft"] and both["kd0.soft"].item() == loss_of(methods.kd(t=1.0))["soft"].item()


@pytest.mark.parametrize(
    ("schedule", "factor"), [("constant", (1, 1, 1)), ("rise", (0, 0.5, 1)), ("fall", (1, 0.5, 0)), ("cosine", (1, 0.5, 0))]
)
def test_weights_follow_progress(schedule: str, factor: tuple[float, ...]) -> None:
    world = little(steps=10)
    for step, f in zip((0, 5, 10), factor):
        whole = loss_of(methods.kd(), world, step)["soft"].item()
        got = loss_of(methods.compose(methods.alone(), methods.kd(), schedules=("constant", schedule)), world, step)[
            "kd.soft"
        ].item()
        assert got == pytest.approx(f * whole, abs=1e-6)


def test_several_methods_cost_one_forward() -> None:
    calls: dict[str, int] = {}
    run = begin(
        methods.compose(
            methods.kd(), methods.fitnet(), methods.kd(t=1.0), methods.fitnet(student_at="stage1", teacher_at="stage1")
        )
    )
    for name in ("student", "teacher"):
        run.nets[name].register_forward_hook(lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1}))
    fit(run, 2)
    calls.clear()
    before = run.nets["student"].stage1[1].num_batches_tracked.item()
    fit(run, 5)
    assert calls == {"student": 3, "teacher": 3}
    assert run.nets["student"].stage1[1].num_batches_tracked.item() == before + 3


@pytest.mark.parametrize(("make", "said"), [
    (methods.compose, "one method or more"), (lambda: methods.compose(methods.kd(), weights=(1.0, 2.0)), "as many as"),
    (lambda: methods.compose(methods.kd(), weights=(-1.0,)), "0 or more"), (lambda: methods.compose(methods.kd(), weights=(float("nan"),)), "0 or more"),
    (lambda: methods.compose(methods.kd(), schedules=("up",)), "rise"), (lambda: methods.compose("kd"), "one method or more"),
    (lambda: methods.compose(methods.kd(), weights=(True,)), "0 or more"),
])  # fmt: skip
def test_what_cannot_be_composed_is_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        make()


def test_a_composition_is_a_method_like_any_other(tmp_path: Path) -> None:
    method = methods.compose(methods.kd(), methods.fitnet(w=2.0), weights=(1.0, 0.5), schedules=("constant", "fall"))
    assert registry.build(method.config()) == method
    with pytest.raises(Refused, match=r"fitnet\.nonsense"):
        registry.build({"name": "compose", "methods": [{"name": "fitnet", "nonsense": 1}]})
    whole, half = fit(begin(method), 4), fit(begin(method), 2)
    again = fit(checkpoint.restore(begin(method, seed=9), checkpoint.read(checkpoint.write(half, tmp_path))), 4)
    assert all(torch.equal(v, again.nets.state_dict()[k]) for k, v in whole.nets.state_dict().items())


def test_compositions_do_not_nest() -> None:
    inner = methods.compose(methods.kd(), methods.fitnet())
    with pytest.raises(Refused, match="side by side"):
        methods.compose(inner, methods.alone())


# ----------------------------------------------------------------------------------------------------------------------- worlds


def test_recast_replaces_parts_and_leaves_the_world_as_it_was() -> None:
    world = digits(0)
    other = recast(world, steps=7, student=lambda: Net(1, 1, 1), task="regress")
    assert (other.steps, other.task, world.steps, world.task) == (7, "regress", digits(0).steps, "classify")
    assert isinstance(other, Rows) and other.student().head.in_features == 1 != world.student().head.in_features
    assert recast(other, steps=3).student().head.in_features == 1 and recast(world, teacher=lambda: None).teacher() is None


def test_recast_refuses_what_the_world_does_not_have() -> None:
    with pytest.raises(Refused, match="bacth"):
        recast(digits(0), bacth=3)


def test_a_batch_names_what_it_has() -> None:
    b = Batch(x=torch.zeros(3, 2), y=torch.zeros(3))
    assert len(b) == 3 and b and not Batch() and b.x is b["x"]
    with pytest.raises(AttributeError, match=r"\['x', 'y'\], not 'z'"):
        _ = b.z


def test_players_schedules_and_clipping() -> None:
    rate: list[float] = []
    world = little(player=Player(sgd(0.5, momentum=0), lambda step: 1 / (step + 1), clip=1e-3))
    run = begin(methods.alone(), world)
    for step in (1, 2, 3):
        before = [p.detach().clone() for p in run.nets["student"].parameters()]
        fit(run, step)
        rate.append(run.opts["student"].param_groups[0]["lr"])
        moved = torch.cat([(p - q).flatten() for p, q in zip(run.nets["student"].parameters(), before)]).norm().item()
        assert moved == pytest.approx(rate[-1] * 1e-3, rel=0.02)
    assert rate == pytest.approx([0.5, 0.25, 0.5 / 3])


def test_a_method_without_its_teacher_is_refused_before_the_first_row() -> None:
    with pytest.raises(Refused, match="'kd' learns from a teacher"):
        begin(methods.kd(), recast(digits(0), teacher=lambda: None))


def test_precision_that_is_not_there() -> None:
    with pytest.raises(Refused, match="precision"):
        fit(begin(methods.kd(), precision="fp16"), 1)


def test_nearest_names_of_methods() -> None:
    with pytest.raises(Refused, match="did you mean"):
        registry.get("fitnets")
    assert World().teacher() is None


def test_a_network_may_grow_and_the_run_goes_on_from_disk(tmp_path: Path) -> None:
    """Its parameters stay the ones that its player holds; a checkpoint brings the shapes back to where they were, and to the best."""
    from understudy.core.method import Method

    class Growing(Method):
        card, name = registry.get("alone").card, "growing"

        def setup(self, world: World) -> dict[str, nn.Module]:
            return {"student": nn.Linear(3, 2)}

        def config(self) -> dict[str, Any]:
            return {"name": self.name}

        def taps(self) -> dict[str, list[str]]:
            return {}

        def loss(self, run: Run, batch: Batch) -> dict[str, Tensor]:
            return {"size": run["student"](batch.x).square().mean()}

        def after_step(self, run: Run, batch: Batch) -> None:
            if run.step == 1:
                old, wide = run.nets["student"], nn.Linear(3, 4)
                wide.weight[:2], wide.bias[:2] = old.weight, old.bias
                run.renew("student", wide)

    class Anywhere(World):
        def rows(self, step: int, split: str = "train") -> Batch:
            return Batch(x=torch.full((4, 3), 1.0 + step))

        def validate(self, artefact: Any) -> float:
            return -float(artefact.weight.numel())

    adam = functools.partial(torch.optim.Adam, lr=0.1)
    born = lambda: start(object.__new__(Growing), Anywhere(steps=6, player=Player(adam)), 1, device="cpu")
    whole, half = fit(born()), fit(born(), 4, after=lambda run: run.judge() and None)
    assert whole["student"].out_features == 4 and whole.nets["student"].weight.shape == (4, 3) and half.best is not None
    again = checkpoint.restore(born(), checkpoint.read(checkpoint.write(half, tmp_path)))
    assert again.best is not None and again.best.artefact.weight.shape == (2, 3)  # type: ignore[union-attr]
    fit(again)
    for a, b in zip(whole.nets.parameters(), again.nets.parameters(), strict=True):
        assert torch.equal(a, b)
    assert len(next(iter(again.opts["student"].state.values()))["exp_avg"]) == 4


def test_a_card_that_is_computed_is_named_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "computed.py"
    path.write_text('class A:\n    card = Card("a title", "doi:none", 2000, tune={"a": (1 / 15, 0.2)})\n')
    with pytest.raises(KeyError, match=r"computed\.py has no class with a literal"):
        registry.header(path)
