"""A real language model behind real HTTP teaches token by token, fills a store, and writes answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from integration.endpoint import Speaker, serve
from integration.speakers import speaker, texts
from understudy import config as configuration
from understudy.cli.label import label
from understudy.cli.write import write
from understudy.core.errors import Refused
from understudy.data import chats
from understudy.job import plan
from understudy.models import language
from understudy.models.language import Spoken
from understudy.teachers import Overheard
from understudy.teachers.remote import from_address


@dataclass
class Behind(Speaker):
    """A Llama of the hub's format as a server of OpenAI's shows it, one that echoes prompts with log-probabilities."""

    spoken: Spoken | None = None

    def chat(self, body: dict[str, Any]) -> Any:
        assert self.spoken is not None
        tokenizer = self.spoken.reader.tokenizer
        ids = tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True)[
            "input_ids"
        ]
        torch.manual_seed(body["seed"])
        said = self.spoken.net.write({"input_ids": ids, "attention_mask": torch.ones_like(ids)}, 6)[0, ids.shape[1] :]
        text = tokenizer.decode(said.tolist(), skip_special_tokens=True)
        return {
            "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": ids.shape[1], "completion_tokens": 6},
        }

    def completion(self, body: dict[str, Any]) -> Any:
        assert self.spoken is not None
        tokenizer = self.spoken.reader.tokenizer
        if self.dialect == "texts":
            return {
                "choices": [{"text": body["prompt"], "logprobs": None}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1},
            }
        ids = tokenizer(body["prompt"], add_special_tokens=False)["input_ids"]
        logp = self.spoken.net({"input_ids": torch.tensor([ids])}).dense().log_softmax(-1)[0]
        after = int(logp[-1].argmax())
        names, rows = [tokenizer.decode([i]) for i in (*ids, after)], logp.tolist()
        tops = [None] + [
            {tokenizer.decode([j]): row[j] for j in torch.tensor(row).topk(body["logprobs"]).indices.tolist()} for row in rows
        ]
        values = [None] + [row[i] for row, i in zip(rows, (*ids[1:], after), strict=True)]
        told = {"tokens": names, "token_logprobs": values, "top_logprobs": tops}
        return {
            "choices": [{"text": body["prompt"] + names[-1], "logprobs": told}],
            "usage": {"prompt_tokens": len(ids), "completion_tokens": 1},
        }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = texts(tmp_path_factory.mktemp("overheard"), 40)
    speaker(folder / "teacher", width=32)
    speaker(folder / "student", seed=1)
    return folder


def behind(place: Path, dialect: str = "openai") -> Behind:
    spoken = language.load(f"hf:{place}/teacher")
    spoken.net.eval()
    return Behind(None, dialect, spoken=spoken)  # type: ignore[arg-type]


def config(place: Path, out: Path, url: str, **more: Any) -> configuration.Config:
    address = f"openai:{url}?model=tiny&topk=5&wait=0.01&cache={out}/cache"
    return configuration.build({"teacher": address, "student": f"hf:{place}/student", "data": {"address": f"jsonl:{place}/asked.jsonl?prompt=question&completion=answer", "task": "lm"},
                                "alone": False, "folder": str(out), "training": {"judgements": 1, "checkpoints": 0, "lr": 0.01}, "lm": {"length": 48, "more": 4, "pack": False}} | more)  # fmt: skip


def test_what_a_server_tells_is_the_models_own_top_k(place: Path, tmp_path: Path) -> None:
    with serve(behind(place)) as point:
        job = plan(config(place, tmp_path, point.url))
        x = {k: v[:8] for k, v in job.data.train.x.items()}
        told = job.world.given_teacher(x)
        asked = len(point.asked)
        again = job.world.given_teacher(x)
    assert len(point.asked) == asked, "answers are paid for once"
    assert torch.equal(told.ids, again.ids)
    own = language.load(f"hf:{place}/teacher").net.eval()(x).rows().dense().log_softmax(-1)
    last = (
        x["asked"].long().cumsum(1).eq(x["asked"].sum(1, keepdim=True))[x["asked"]]
    )  # what the last place predicts isn't in the row
    heard = (told.ids >= 0).any(1)
    assert bool(heard[~last].float().mean() > 0.9) and not heard[last].any()
    for i in heard.nonzero().flatten().tolist():
        there = told.ids[i] >= 0
        assert torch.allclose(told.logp[i][there], own[i][told.ids[i][there]], atol=1e-4)
        best = int(own[i].argmax())
        assert best in told.ids[i] or best not in job.world.given_teacher.words.values(), "bytes of half a character have no name"
    assert job.world.given_teacher.heard[0] >= 2 * len(told.ids)


def test_a_student_learns_from_it_and_from_its_store_alike(place: Path, tmp_path: Path) -> None:
    with serve(behind(place)) as point:
        job = plan(config(place, tmp_path / "live", point.url, method={"name": "kd", "t": 1.0, "a": 1.0})).run()
        told = label(config(place, tmp_path / "live", point.url), str(tmp_path / "store"))
    assert told.data["finished"]
    stored = config(place, tmp_path / "stored", "http://127.0.0.1:9", method={"name": "kd", "t": 1.0, "a": 1.0}, teacher="none",
                    lm={"length": 48, "more": 4, "pack": False}, signal=f"store:{tmp_path}/store")  # fmt: skip
    again = plan(stored).run()
    flat = lambda net: torch.cat([p.detach().flatten() for p in net.parameters()])
    live, store, start = flat(job.student), flat(again.student), flat(language.load(f"hf:{place}/student").net)
    assert (live - store).norm() < 0.2 * (live - start).norm(), "alike, but for the bits that a store keeps of a log-probability"


def test_a_server_without_log_probabilities_writes_rows_to_learn_from(place: Path, tmp_path: Path) -> None:
    with serve(behind(place, "texts")) as point:
        with pytest.raises(Refused, match="text"):
            plan(config(place, tmp_path, point.url)).run()
        out = tmp_path / "written.jsonl"
        address = f"openai:{point.url}?model=tiny&wait=0.01&cache={tmp_path}/said&budget=200requests"
        done = write(address, place / "chats.jsonl", out, samples=2, workers=2)
        asked = len(point.asked)
        write(address, place / "chats.jsonl", out, samples=2, workers=2)
        assert len(point.asked) == asked, "answers are paid for once"
        with pytest.raises(Refused, match="requests"):
            write(f"openai:{point.url}?model=tiny&budget=5requests", place / "chats.jsonl", out, samples=1, workers=1)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert done.data["rows"] == len(rows) == 80 and all(
        r["messages"][-1]["role"] == "assistant" and len(r["messages"]) == 2 for r in rows
    )
    reader = language.load(f"hf:{place}/student").reader
    assert chats.load(f"jsonl:{out}", reader.tokenizer).documents["train"]


def test_it_is_heard_by_its_top_k(place: Path) -> None:
    reader = language.load(f"hf:{place}/student").reader
    with pytest.raises(Refused, match="topk"):
        Overheard(from_address("openai:http://127.0.0.1:9?model=tiny"), reader.tokenizer, len(reader.tokenizer))
