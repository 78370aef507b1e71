"""The guide's arithmetic: against published sizes, against what autograd really keeps, against a calculation by hand; and the page says what it says."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch

from understudy.planning import costs
from understudy.planning.sizes import Shape

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def plan():
    spec = importlib.util.spec_from_file_location("seven_billion", DOCS / "seven_billion.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize(("name", "published"), [("1.5B", 1_543_714_304), ("7B", 7_615_616_512), ("72B", 72_706_203_648)])
def test_parameters_are_the_published_ones(plan, name, published):
    assert plan.SHAPES[name].parameters == published


def kept(net: torch.nn.Module, tokens: int, bf16: bool) -> int:
    """Bytes that autograd saves for a forward pass of the layers, weights left out."""
    weights, found = {p.untyped_storage().data_ptr() for p in net.parameters()}, {}

    def pack(t):
        if t.untyped_storage().data_ptr() not in weights:
            found[t.untyped_storage().data_ptr()] = (t.untyped_storage().nbytes(), t)
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        net.model(input_ids=torch.zeros(1, tokens, dtype=torch.long), use_cache=False)
    return sum(size for size, _ in found.values())


DEPRECATED = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing")  # Transformers and PEFT ask for it


@DEPRECATED
@pytest.mark.parametrize("how", ["float32", "bfloat16", "plain"])
@pytest.mark.parametrize("again", [False, True])
def test_a_layer_keeps_what_the_formula_says(how, again):
    """To the byte: two layers less one layer, at 96 tokens less 32."""
    transformers = pytest.importorskip("transformers")
    s = Shape("small", 64, 0, 4, 2, 180, 300, True)

    def net(layers):
        made = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(vocab_size=300, hidden_size=s.h, intermediate_size=s.m, num_hidden_layers=layers,
               num_attention_heads=s.heads, num_key_value_heads=s.kv, attn_implementation="sdpa")).train()  # fmt: skip
        if again:
            made.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        return made.bfloat16() if how == "bfloat16" else made

    nets = [net(2), net(1)]
    sizes = [[kept(n, tokens, how == "float32") for n in nets] for tokens in (96, 32)]
    by_layer = (sizes[0][0] - sizes[0][1]) - (sizes[1][0] - sizes[1][1])
    of_formula = [costs.activations(Shape("x", s.h, layers, s.heads, s.kv, s.m, 300, True), 64, again, how) for layers in (2, 1)]
    assert by_layer == of_formula[0] - of_formula[1]


def test_by_hand():
    """h 4, 2 layers, 2 heads of 2, one of them for keys, m 8, 10 words, untied: k = 2."""
    s = Shape("tiny", 4, 2, 2, 1, 8, 10, False, bias=False)
    assert s.inner == 2 * (2 * 16 + 2 * 4 * 2 + 3 * 4 * 8 + 2 * 4) + 4 == 308
    assert s.parameters == 308 + 80
    assert sum(costs.learning(s).values()) == 20 * 388 + 2 * 308
    assert sum(costs.learning(s, 8).values()) == (16 * 388 + 2 * 308) / 8 + 4 * 388
    assert sum(costs.learning(s, how="bfloat16").values()) == 10 * 388
    assert costs.layer(s) == 30 * 4 + 8 * 8 + 4 * 2 + 4 * 2 + 8 == 208
    assert costs.activations(s, 5, False) == 5 * 2 * 208
    assert costs.activations(s, 5, True) == 5 * (2 * 16 + 208)
    assert costs.loss(s, s, 5) == 2**30 + 5 * 24 + 160
    assert costs.teaching(s, 5) == 2 * 388 + 5 * (40 + 48)
    assert costs.teaching(s, 5, bits=4) == 308 * 0.5625 + 160 + 440
    assert costs.forward(s, 6) == 2 * (308 + 40) + 2 * 2 * 4 * 6
    assert costs.step(s, True, 6) == 4 * costs.forward(s, 6) - 2 * 40
    assert costs.step(s, False, 6) == 3 * costs.forward(s, 6)
    assert costs.hours(7200, 2.0, 8) == 8.0


@DEPRECATED
def test_lora_is_as_large_as_peft_makes_it():
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    s = Shape("small", 64, 2, 4, 2, 180, 300, True)
    net = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(vocab_size=300, hidden_size=64, intermediate_size=180, num_hidden_layers=2,
                                                                 num_attention_heads=4, num_key_value_heads=2))  # fmt: skip
    made = peft.get_peft_model(net, peft.LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert costs.adapters(s) == sum(p.numel() for p in made.parameters() if p.requires_grad)


def test_the_buffers_are_the_losses_own():
    from understudy.parts import sweep

    assert costs.LOSS == 2 * sweep.ELSEWHERE


def test_a_store_is_worth_it_from_the_second_visit_on(plan):
    s, t = plan.SHAPES["1.5B"], plan.SHAPES["7B"]
    once = [plan.bill(s, t, 1e9, 1, kept) for kept in (None, 50.0)]
    twice = [plan.bill(s, t, 1e9, 2, kept) for kept in (None, 50.0)]
    assert once[1] - once[0] == pytest.approx(plan.KEEPING * 50)  # the same operations, and the disk
    assert twice[1] < twice[0]


@pytest.mark.parametrize("name", ["models", "one", "eight", "speeds", "store", "plans"])
def test_the_page_has_the_formulas_tables(plan, name):
    """If not: python docs/seven_billion.py. The two tables of stored bytes follow benchmarks/results/store.json, and are made when that is."""
    page = plan.PAGE.read_text()
    found = re.search(rf"<!-- {name} -->\n\n(.*?)\n\n<!-- end -->", page, re.S)
    assert found is not None
    if name in ("store", "plans"):
        assert found[1].splitlines()[0] == plan.TABLES[name]().splitlines()[0]
    else:
        assert found[1] == plan.TABLES[name]()
