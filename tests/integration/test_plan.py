"""`understudy plan`: values worked out by hand, what must grow with what, what is refused, and that what it advises holds."""

from __future__ import annotations

import importlib.util
import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from understudy.cli import app
from understudy.core.errors import Refused
from understudy.planning import Settings, costs, plans
from understudy.planning.devices import DEVICES, Device, device
from understudy.planning.sizes import PUBLISHED, Shape, counted, number, shape

ROOT = Path(__file__).resolve().parents[2]
HEADLINE = ("--teacher", "70b", "--student", "3b", "--tokens", "100b", "--gpus", "64xH100")
TINY = Shape("tiny", 4, 2, 2, 1, 8, 10, False, False)  # 308 parameters in layers and norm, 40 in each of head and embedding
TOY = Device("toy", 7920.0, 1e12, 1e12, 3.6)
HOW = Settings(length=6, rows=1, checkpointing=False, mfu=0.5, forward=0.5, launch=0.0, keeping=1e3)


def u(*args):
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, ["plan", *map(str, args)], prog_name="understudy")


def told(*args):
    done = u(*args, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def by_name(made):
    return {p.name: p for p in made}


# ------------------------------------------------------------------------------------------------------------------------ by hand


def test_online_and_offline_by_hand():
    """forward 2 x 348 + 2 x 2 x 4 x 6 = 792 operations a token, a step three times that, 3,960 operations a second in use, a dollar for 1,000 s."""
    made = by_name(plans(TINY, TINY, 1000, TOY, 1, HOW))
    online, offline = made["online"], made["offline, samples"]
    assert online.flops == offline.flops == 1000 * (2376 + 792)
    assert [s.seconds for s in online.stages] == pytest.approx([800])
    assert [s.seconds for s in offline.stages] == pytest.approx([200, 600])
    assert online.price == pytest.approx(0.8)
    assert offline.store == pytest.approx(40.9 * 1000)
    assert offline.price == pytest.approx(0.8 + 1e3 * 40.9e3 / 1e9)  # 1,000 dollars a GB and month
    assert {s.bound for s in (*online.stages, *offline.stages)} == {"operations"}


def test_a_store_is_written_once():
    made = by_name(plans(TINY, TINY, 1000, TOY, 1, replace(HOW, students=2, epochs=3)))
    assert [s.seconds for s in made["online"].stages] == pytest.approx([6 * 800])
    assert [s.seconds for s in made["offline, samples"].stages] == pytest.approx([200, 6 * 600])


def test_a_slow_disk_is_waited_for():
    label, learn = by_name(plans(TINY, TINY, 1000, TOY, 1, replace(HOW, disk=1.0)))["offline, samples"].stages
    assert (label.bound, learn.bound) == ("disk", "disk")
    assert (label.seconds, learn.seconds) == pytest.approx((40_900, 40_900))


def test_writing_by_hand():
    """A token reads 4 x 348 bytes of weights and, of two rows, 5 tokens of 2 x 2 x 2 x 4 bytes: 1,712, one second; 0.5 s a layer before; a prompt of
    2 x 4 tokens of 760 operations, one second."""
    assert costs.context(TINY, 1, "plain") == 32
    assert costs.writing(TINY, 2, 4, 2, "plain", flops=6080, bandwidth=1712, launch=0.5) == pytest.approx(2 * (1 + 2 * 0.5) + 1)
    assert costs.writing(TINY, 2, 4, 2, "plain", flops=6080, bandwidth=1712, launch=0, link=348) == pytest.approx(
        2 * 4 + 1
    )  # in parts
    assert costs.writing(TINY, 2, 4, 2, "plain", flops=856, bandwidth=1e9, launch=0) == pytest.approx(
        2 * 2 + 2 * 4 * 760 / 856
    )  # operations


def test_on_policy_is_online_and_the_writing():
    how = replace(HOW, batch=2, written=1 / 3, reach=1.0, weights="float32")
    slow = replace(TOY, bandwidth=1712.0)
    made = by_name(plans(TINY, TINY, 1200, slow, 1, how))
    write = costs.writing(TINY, 2, 4, 2, "float32", flops=3960, bandwidth=1712, launch=0)
    assert made["on-policy"].stages[0].seconds == pytest.approx(960 + 100 * write)  # 1,200 tokens are 100 times two rows of six


def test_devices_share_work_and_weights():
    """Eight of them: gradients of 4 bytes are averaged, there and back, or weights come twice and gradients go once."""
    one, eight = (plans(TINY, TINY, 1000, TOY, n, HOW)[0] for n in (1, 8))
    assert eight.hours == pytest.approx(one.hours / 8)
    crawling = replace(HOW, link=1.0)
    size = 4 * TINY.parameters
    for sharded, sent in ((False, 2 * size), (True, 3 * size + costs.held(TINY))):
        stage = by_name(plans(TINY, TINY, 1000, TOY, 8, replace(crawling, sharded=sharded)))["online"].stages[0]
        assert (stage.bound, stage.sharded) == ("network", sharded)
        assert stage.seconds == pytest.approx(1000 / (6 * 8) * sent * 7 / 8)


def test_the_stores_bytes_are_the_measured_ones():
    rows = json.loads((ROOT / "benchmarks" / "results" / "store.json").read_text())
    soft = {
        r["size"]: r["bytes"]
        for r in rows["frontier 116726, 100 steps"]["rows"]
        if r["teacher"] == "soft" and r["kind"] == "samples"
    }
    top = {r["size"]: r["bytes"] for r in rows["sweep 116726"]["rows"] if r["kind"] == "top-k"}
    assert dict(costs.MEASURED["samples"]) == soft and dict(costs.MEASURED["top-k"]) == top
    assert costs.stored("samples", 50) == 40.9
    assert costs.stored("top-k", 20) == pytest.approx((20.98 + 77.28) / 2)
    assert costs.stored("top-k", 56) == pytest.approx(77.28 + 77.28 - 20.98)


# ------------------------------------------------------------------------------------------------------------------------ monotone

TWO = shape("student", "3b"), shape("teacher", "70b")


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 2},
        {"students": 2},
        {"mfu": 0.2},
        {"samples": 99, "k": 99},
        {"weights": "float32"},
        {"rows": 8},
        {"length": 8192},
    ],
    ids=str,
)
def test_more_is_never_less(change):
    usual = Settings(weights="bfloat16", bits=4, sharded=True)
    less, more = (by_name(plans(*TWO, 1e9, DEVICES["h100"], 8, how)) for how in (usual, replace(usual, **change)))
    for name, plan in less.items():
        for what in ("flops", "hours", "memory", "store", "price"):
            assert getattr(more[name], what) >= getattr(plan, what) * (1 - 1e-9), (name, what)
    assert any(more[n].price > less[n].price or more[n].memory > less[n].memory for n in less)


def test_more_devices_are_quicker_and_hold_less_each():
    few, many = (by_name(plans(*TWO, 1e9, DEVICES["h100"], n, Settings(sharded=True))) for n in (8, 64))
    assert many["online"].hours < few["online"].hours and many["online"].memory < few["online"].memory
    assert many["offline, samples"].memory == few["offline, samples"].memory  # each labels with a whole teacher


def test_checkpointing_costs_time_and_saves_memory():
    off, on = (by_name(plans(*TWO, 1e9, DEVICES["mi300x"], 1, Settings(checkpointing=c)))["online"] for c in (False, True))
    assert on.hours > off.hours and on.memory < off.memory


# -------------------------------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize(("name", "parameters"), [("SmolLM2 135M", 134_515_008), ("Qwen 2.5 0.5B", 494_032_768), ("Llama 3.2 1B", 1_235_814_400),
                         ("Llama 3.2 3B", 3_212_749_824), ("Llama 3.1 8B", 8_030_261_248), ("Qwen 2.5 14B", 14_770_033_664), ("Llama 3.1 70B", 70_553_706_496)])  # fmt: skip
def test_shapes_have_the_published_number_of_parameters(name, parameters):
    assert {s.name: s for s in PUBLISHED}[name].parameters == parameters


@pytest.mark.parametrize("text", ["40m", "250m", "1b", "2b", "5b", "13b", "22b", "120b", "180b", "600b", "1.5t"])
def test_a_size_between_has_a_shape(text):
    made = shape("student", text)
    assert made.parameters == pytest.approx(number("student", text), rel=0.1)
    assert made.heads % made.kv == 0 and made.h % 64 == 0


def test_a_folder_says_its_own(tmp_path):
    transformers = pytest.importorskip("transformers")
    given = {
        "vocab_size": 300,
        "hidden_size": 64,
        "intermediate_size": 180,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    for config, more in (
        (transformers.Qwen2Config, {}),
        (transformers.LlamaConfig, {"head_dim": 32}),
        (transformers.LlamaConfig, {"tie_word_embeddings": True}),
    ):
        made = config(**given, **more)
        made.save_pretrained(tmp_path)
        net = transformers.AutoModelForCausalLM.from_config(made)
        assert shape("student", f"hf:{tmp_path}").parameters == net.num_parameters()
    assert shape("student", f"hf:{tmp_path}", 1000).words == 1000


def test_numbers_as_people_write_them():
    assert [number("tokens", t) for t in ("3b", "1.5B", "500m", "2k", "100", "1e9", "1_000_000", "1,000 k", "2t")] == [
        3e9,
        1.5e9,
        5e8,
        2e3,
        100,
        1e9,
        1e6,
        1e6,
        2e12,
    ]
    assert [counted("gpus", t) for t in ("64xH100", "8 x A100-40", "L4", "2×mi300x")] == [
        (64, "H100"),
        (8, "A100-40"),
        (1, "L4"),
        (2, "mi300x"),
    ]


# ------------------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "text", ["", "0", "-3b", "b", "3bb", "3x", "1,5b", "1.2.3b", "nan", "inf", "1e99", "0.5", "3 b b", "٣b", "1e18t"]
)
def test_what_is_no_number(text):
    with pytest.raises(Refused, match="tokens="):
        number("tokens", text)


@pytest.mark.parametrize("text", ["", "64", "0xH100", "-1xH100", "64x", "xH100x8 9", "64xH100,8xA100", "9999999xH100", "H100;"])
def test_what_are_no_devices(text):
    with pytest.raises(Refused, match="gpus="):
        counted("gpus", text)


def test_an_unknown_device_needs_its_numbers():
    with pytest.raises(Refused, match="'H10'.*did you mean 'h100'"):
        device("H10")
    with pytest.raises(Refused, match="gpus='mine'"):
        device("mine", flops=1e12, memory=1e9)
    assert device("mine", flops=1e12, memory=1e9, bandwidth=1e9, price=0.0).source == "given"
    assert device("h100", price=1.0) == replace(DEVICES["h100"], price=1.0)
    for bad in ({"flops": 0.0}, {"memory": -1.0}, {"bandwidth": float("nan")}, {"price": -1.0}, {"price": float("inf")}):
        with pytest.raises(Refused, match=next(iter(bad))):
            device("h100", **bad)


@pytest.mark.parametrize("change", [{"mfu": 0.0}, {"mfu": 1.5}, {"forward": -1.0}, {"k": 0}, {"samples": 0}, {"epochs": 0}, {"students": -1}, {"length": 1}, {"rows": 0},
                                    {"bits": 3}, {"weights": "int8"}, {"written": 0.0}, {"disk": 0.0}, {"link": float("nan")}, {"months": -1.0}, {"sharded": "yes"}], ids=str)  # fmt: skip
def test_settings_out_of_range(change):
    (name,) = change
    with pytest.raises(Refused, match=rf"plan\.{name}="):
        Settings(**change)


@pytest.mark.parametrize("config", ["{", "[]", "null", "{}", '{"hidden_size": 8}', "experts", "zero", "word", None])
def test_a_folder_that_says_nothing(tmp_path, config):
    whole = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 100}
    odd = {"experts": {"num_local_experts": 8}, "zero": {"num_attention_heads": 0}, "word": {"vocab_size": "many"}}
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(whole | odd[config]) if config in odd else config)
    with pytest.raises(Refused, match="student='hf:"):
        shape("student", f"hf:{tmp_path}")


@pytest.mark.parametrize("change", [("--teacher", "big"), ("--student", "1k"), ("--tokens", "-1"), ("--gpus", "64xH10"), ("--mfu", "2"), ("--k", "0"), ("--bits", "5"), ("--k", "few"),
                                    ("--price", "-1"), ("--vocabulary", "none"), ("--weights", "float16"), ("--student", "hf:./nowhere")], ids=str)  # fmt: skip
def test_the_command_refuses_in_one_line(change):
    done = u(*HEADLINE, *change)
    assert done.exit_code == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert change[0].lstrip("-") in line
    machine = u(*HEADLINE, *change, "--json")
    assert machine.exit_code == 2 and json.loads(machine.stdout)["code"] == 2


def test_what_is_asked_for_must_be_said():
    assert u("--teacher", "70b").exit_code == 2


# --------------------------------------------------------------------------------------------------------------------- the command


def test_the_cheapest_that_fits_comes_first():
    """Five students: the teacher is asked once, where it fits."""
    found = told(*HEADLINE, "--students", 5, "--bits", 4)
    assert [p["fits"] for p in found["plans"]] == sorted((p["fits"] for p in found["plans"]), reverse=True)
    fitting = [p["price"] for p in found["plans"] if p["fits"]]
    assert fitting == sorted(fitting) and found["plans"][0]["name"] == "offline, samples"
    assert {p["name"] for p in found["plans"]} == {"online", "offline, samples", "offline, top-k", "on-policy"}
    assert told(*HEADLINE)["plans"][0]["name"] == "online"  # a whole teacher of 16 bits is too large to label with


@pytest.mark.parametrize("args", [HEADLINE, ("--teacher", "70b", "--student", "7b", "--tokens", "1b", "--gpus", "1xA100", "--no-checkpointing"),
                                  ("--teacher", "8b", "--student", "1b", "--tokens", "1b", "--gpus", "4xL4", "--no-sharded")], ids=["64xH100", "A100", "L4"])  # fmt: skip
def test_with_what_mends_it_it_fits(args):
    failing = [p for p in told(*args)["plans"] if not p["fits"]]
    assert failing and any(p["mends"] for p in failing)
    for plan in failing:
        for mend in plan["mends"]:
            (again,) = [p for p in told(*args, *shlex.split(mend))["plans"] if p["name"] == plan["name"]]
            assert again["fits"], (plan["name"], mend)


def test_json_and_the_table_agree():
    found, text = told(*HEADLINE), u(*HEADLINE).stdout
    assert found["teacher"]["words"] == found["student"]["words"] == 128_256  # one vocabulary
    assert found["device"]["source"] == "maker's data sheet" and found["assumed"]["mfu"] == 0.4
    for plan in found["plans"]:
        assert plan["hours"] == pytest.approx(sum(s["seconds"] for s in plan["stages"]) / 3600)
        assert plan["device_hours"] == pytest.approx(64 * plan["hours"])
        assert f"${plan['price']:,.0f}" in text and plan["name"] in text
        if not plan["fits"]:
            assert f"✘ {plan['name']}" in text and all(m in text for m in plan["mends"])
    for word in ("Assumed", "--mfu", "--price", "maker's data sheet"):
        assert word in text


def test_options_reach_the_formulas():
    found = {
        p["name"]: p
        for p in told(
            "--teacher",
            "70b",
            "--student",
            "3b",
            "--tokens",
            "1b",
            "--gpus",
            "8xH100",
            "--vocabulary",
            TWO[0].words,
            "--price",
            "5",
        )["plans"]
    }
    two = [replace(s, words=TWO[0].words) for s in TWO]
    usual = by_name(plans(*two, 1e9, replace(DEVICES["h100"], price=5.0), 8, Settings()))
    for name, plan in usual.items():
        assert found[name]["price"] == pytest.approx(plan.price) and found[name]["memory"] == pytest.approx(plan.memory)
    own = told(
        "--teacher",
        "8b",
        "--student",
        "1b",
        "--tokens",
        "1b",
        "--gpus",
        "2xmine",
        "--peak",
        "500",
        "--memory",
        "64",
        "--bandwidth",
        "2",
        "--price",
        "1",
    )["device"]
    assert (own["flops"], own["memory"], own["bandwidth"], own["source"]) == (5e14, 64e9, 2e12, "given")


def test_the_guide_says_what_was_measured():
    """Its table and its sentence; if not: benchmarks/plan.py's `table` of the result."""
    found = importlib.util.spec_from_file_location("benchmark_of_plans", ROOT / "benchmarks" / "plan.py")
    script = importlib.util.module_from_spec(found)
    sys.modules[found.name] = script
    found.loader.exec_module(script)
    page, result = ((ROOT / p).read_text() for p in ("docs/guide/plan.md", "benchmarks/results/plan.json"))
    result = json.loads(result)
    assert script.table(result) in page
    seconds = [r["error_of_seconds"] for r in result["rows"]]
    assert f"{-100 * min(seconds):.0f} % too few and {100 * max(seconds):.0f} % too many" in page
    label, learn = (
        [100 * r["error_of_mb"] for r in result["rows"] if (r["way"] == "label") == labels] for labels in (True, False)
    )
    said = " ".join(page.split())
    assert (
        f"learning came out {min(learn):.0f} to {max(learn):.0f} % too much, of labelling {-max(label):.0f} to {-min(label):.0f} % too little"
        in said
    )
    for r, case in zip(result["rows"], script.CASES, strict=True):  # predicted by the formulas as they are now
        assert script.needed(case) / 1e6 == pytest.approx(r["predicted_mb"], abs=0.06)
    first = result["rows"][0]
    assert first["updates"] * script.operations(script.CASES[0]) / result["calibrated"]["flops"] == pytest.approx(
        first["seconds"], rel=0.01
    )


def test_planning_needs_no_torch():
    code = "import sys; import understudy.planning, understudy.cli.plan; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
