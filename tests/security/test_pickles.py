"""Nothing of ours unpickles or runs what a file holds: its source is looked through, and every reader is given pickles in disguise."""

from __future__ import annotations

import ast
import contextlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from integration.speakers import speaker
from security.traps import KINDS, Trap
from understudy import config, data, models
from understudy.core import checkpoint
from understudy.core.errors import Refused
from understudy.data import chats
from understudy.models import language
from understudy.teachers import Stored, shards
from understudy.teachers.recorded import Recorded
from understudy.teachers.remote import Client

SOURCE = Path(config.__file__).parent
PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
ANYWAY = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
UNSAFE = {"read_pickle", "unsafe_load", "full_load", "load_all", "to_pickle", "extractall"}

# what the source does ------------------------------------------------------------------------------------------------------------


def wrong(code: str) -> list[str]:
    """What in it could run what a file holds."""
    found, tree = [], ast.parse(code)
    safe = {
        n.name
        for n in ast.walk(tree)
        if isinstance(n, ast.ClassDef) and any(ast.unparse(b).endswith("SafeLoader") for b in n.bases)
    }
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [n for n in names if n.partition(".")[0] in PICKLERS]
        if not isinstance(node, ast.Call):
            continue
        said = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
        given = {k.arg for k in node.keywords}
        name = ast.unparse(node.func)
        last = name.rpartition(".")[2]
        found += [name] if name in ANYWAY or last in UNSAFE else []
        found += [name] if name == "torch.load" and said.get("weights_only") is not True else []
        found += [name] if name in ("np.load", "numpy.load") and said.get("allow_pickle") is not False else []
        loader = [ast.unparse(a) for a in (*node.args[1:], *(k.value for k in node.keywords if k.arg == "Loader"))]
        found += [name] if name == "yaml.load" and not (loader and set(loader) <= safe) else []
        found += [f"{name}(shell=True)"] if "shell" in given and said.get("shell") is not False else []
        found += [f"{name}(trust_remote_code=True)"] if said.get("trust_remote_code") is True else []
        found += [f"{name}(weights_only)"] if "weights_only" in given and said.get("weights_only") is not True else []
        found += [f"{name}(allow_pickle)"] if "allow_pickle" in given and said.get("allow_pickle") is not False else []
    return found


@pytest.mark.parametrize("code", ["import pickle", "from joblib import load", "import _pickle as p", "eval('1')", "exec(x)", "torch.load(f)",
    "torch.load(f, weights_only=False)", "np.load(f)", "np.load(f, allow_pickle=yes)", "yaml.load(f)", "yaml.load(f, Loader)", "class L(yaml.Loader): pass\nyaml.load(f, Loader=L)", "pd.read_pickle(f)", "run('ls', shell=True)", "run(a, shell=b)",
    "auto.from_pretrained(p, trust_remote_code=True)", "archive.extractall()", "os.system(x)", "compile(x, '', 'exec')"])  # fmt: skip
def test_what_is_looked_for_is_found(code: str) -> None:
    assert wrong(code)


def test_the_source_unpickles_nothing_and_runs_no_text() -> None:
    paths = sorted(SOURCE.rglob("*.py"))
    assert len(paths) > 150
    assert {str(p.relative_to(SOURCE)): w for p in paths if (w := wrong(p.read_text()))} == {}


def test_programs_of_torch_export_are_loaded_where_they_were_made_and_looked_at() -> None:
    """`torch.export.load` unpickles what a file says is pickled: ours is given bytes that were made a line before, and only those."""
    callers = [str(p.relative_to(SOURCE)) for p in SOURCE.rglob("*.py") if "export.load(" in p.read_text()]
    assert callers == ["export/program.py"]
    code = (SOURCE / "export" / "program.py").read_text()
    assert code.count("export.load(") == 1
    assert code.index("data = _archive(plain, x)") < code.index("torch.export.load(io.BytesIO(data))")


def test_a_program_that_torch_would_pickle_into_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.export.pt2_archive import _package

    from understudy.export.program import export_program

    monkeypatch.setattr(_package, "_should_use_pickle", lambda _: True)
    with pytest.raises(Refused, match="pickled"):
        export_program(torch.nn.Linear(3, 2), torch.randn(4, 3), tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


# what the readers do -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("rows")
    pd.DataFrame({"text": ["a good film", "a bad film"] * 20, "label": ["pos", "neg"] * 20}).to_csv(folder / "t.csv", index=False)
    return {"image": data.load("digits?limit=100"), "text": data.load(f"csv:{folder / 't.csv'}?length=8")}


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "mark"


def test_the_traps_snap(mark: Path) -> None:
    """A reader that unpickles would be seen."""
    for kind, make in KINDS.items():
        file = mark.with_name(f"trap-{kind}")
        file.write_bytes(make(mark))
        if kind == "torch":
            torch.load(file, weights_only=False)
        elif kind in ("npz", "npy"):
            held = np.load(file, allow_pickle=True)
            _ = held["x"] if kind == "npz" else held
        else:
            import gzip

            pickle.loads(gzip.decompress(file.read_bytes()) if kind == "gzip" else file.read_bytes())
        assert mark.exists(), kind
        mark.unlink()


def at(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


# where a pickle is put, and who reads it there
FILES: dict[str, tuple[str, Callable[[Path, Any], Any]]] = {
    "npz": ("x.npz", lambda p, _: data.load(f"npz:{p}")),
    "csv": ("x.csv", lambda p, _: data.load(f"csv:{p}")),
    "csv.gz": ("x.csv.gz", lambda p, _: data.load(f"csv:{p}")),
    "parquet": ("x.parquet", lambda p, _: data.load(f"parquet:{p}")),
    "jsonl": ("x.jsonl", lambda p, _: data.load(f"jsonl:{p}")),
    "json": ("x.json", lambda p, _: data.load(f"jsonl:{p}")),
    "pictures": ("all/a/x.png", lambda p, _: data.load(f"folder:{p.parents[1]}")),
    "idx": ("mnist/train-images-idx3-ubyte", lambda p, _: data.load(f"idx:{p.parent}")),
    "idx.gz": ("mnist/train-images-idx3-ubyte.gz", lambda p, _: data.load(f"idx:{p.parent}")),
    "hub rows": ("rows/train.csv", lambda p, _: data.load(f"hf:{p.parent}")),
    "hub rows, arrow": ("rows/train.arrow", lambda p, _: data.load(f"hf:{p.parent}")),
    "hub rows, pickle": ("rows/train.pkl", lambda p, _: data.load(f"hf:{p.parent}")),
    "hub rows, tar": ("rows/train.tar", lambda p, _: data.load(f"hf:{p.parent}")),
    "hub rows, on disk": ("rows/state.json", lambda p, _: data.load(f"hf:{p.parent}")),
    "texts": ("x.txt", lambda p, _: chats.load(f"text:{p}", None)),
    "chats": ("x.jsonl", lambda p, _: chats.load(f"jsonl:{p}", None)),
    "chats, parquet": ("x.parquet", lambda p, _: chats.load(f"parquet:{p}", None)),
    "chats, hub": ("rows/train.jsonl", lambda p, _: chats.load(f"hf:{p.parent}", None)),
    "weights": ("x.safetensors", lambda p, rows: models.load(f"file:{p}?arch=tiny-cnn", data=rows["image"])),
    "weights, pt": ("x.pt", lambda p, rows: models.load(f"file:{p}?arch=tiny-cnn", data=rows["image"])),
    "weights, pt2": ("x.pt2", lambda p, rows: models.load(f"file:{p}?arch=tiny-cnn", data=rows["image"])),
    "weights, onnx": ("x.onnx", lambda p, rows: models.load(f"file:{p}?arch=tiny-cnn", data=rows["image"])),
    "weights, sklearn": ("x.joblib", lambda p, rows: models.load(f"sklearn:{p}", data=rows["image"])),
    "weights, timm": ("x.pth", lambda p, rows: models.load(f"timm:{p}", data=rows["image"])),
    "hub model": ("net/config.json", lambda p, rows: models.load(f"hf:{p.parent}", data=rows["text"])),
    "checkpoint": ("step-000000001.safetensors", lambda p, _: checkpoint.read(p)),
    "checkpoints": ("step-000000001.safetensors", lambda p, _: checkpoint.latest(p.parent)),
    "stored answers": ("x.safetensors", lambda p, _: Stored.load(p)),
    "store": ("store/manifest.json", lambda p, _: Recorded(p.parent)),
    "toml": ("x.toml", lambda p, _: config.read(p)),
    "yaml": ("x.yaml", lambda p, _: config.read(p)),
    "settings": ("x.json", lambda p, _: config.read(p)),
    "run": ("run/config.json", lambda p, _: resumed(p.parent)),
}


def resumed(folder: Path) -> Any:
    from understudy.job import resume

    return resume(folder)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", FILES)
@pytest.mark.filterwarnings("ignore")
def test_a_pickle_in_disguise_is_refused(reader: str, kind: str, mark: Path, tmp_path: Path, rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    name, read = FILES[reader]
    path = at(tmp_path / name)
    path.write_bytes(KINDS[kind](mark))
    with pytest.raises(Refused) as e:
        read(path, rows)
    assert not mark.exists()
    assert "\n" not in str(e.value)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model for texts, and a language model."""
    import transformers as hf

    folder = tmp_path_factory.mktemp("hub")
    shape = {"vocab_size": 300, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    speaker(folder / "speaker")
    net = hf.BertForSequenceClassification(hf.BertConfig(**shape, max_position_embeddings=32, num_labels=2))
    net.save_pretrained(folder / "reader")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / "speaker" / file, folder / "reader" / file)
    return folder


def read_hub(folder: Path, rows: dict[str, Any]) -> None:
    if folder.name == "reader":
        models.load(f"hf:{folder}", data=rows["text"])
    else:
        language.load(f"hf:{folder}")


@pytest.mark.parametrize("name", ["reader", "speaker"])
@pytest.mark.parametrize("place", ["model.safetensors", "pytorch_model.bin", "adapter_model.bin", "tokenizer.json", "tokenizer_config.json",
                                   "config.json", "model.safetensors.index.json"])  # fmt: skip
@pytest.mark.parametrize("kind", ["pickle", "torch"])
@pytest.mark.filterwarnings("ignore")
def test_a_hub_folder_with_a_pickle_is_refused(name: str, place: str, kind: str, hub: Path, rows: dict[str, Any], mark: Path, tmp_path: Path) -> None:  # fmt: skip
    folder = shutil.copytree(hub / name, tmp_path / name)
    if place.endswith((".bin", ".index.json")):
        (folder / "model.safetensors").unlink()
    if place.startswith("adapter"):
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(hub / name)}))
    (folder / place).write_bytes(KINDS[kind](mark))
    with pytest.raises(Refused) as e:
        read_hub(folder, rows)
    assert not mark.exists()
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("name", ["reader", "speaker"])
@pytest.mark.parametrize("where", ["config.json", "tokenizer_config.json"])
@pytest.mark.filterwarnings("ignore")
def test_a_hub_folder_with_code_of_its_own_runs_none_of_it(name: str, where: str, hub: Path, rows: dict[str, Any], mark: Path, tmp_path: Path) -> None:  # fmt: skip
    folder = shutil.copytree(hub / name, tmp_path / name)
    (folder / "own.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    auto = {
        "AutoConfig": "own.Own",
        "AutoModelForSequenceClassification": "own.Own",
        "AutoModelForCausalLM": "own.Own",
        "AutoTokenizer": ["own.Own", "own.Own"],
    }
    said = json.loads((folder / where).read_text()) | {"auto_map": auto, "model_type": "own", "tokenizer_class": "Own"}
    (folder / where).write_text(json.dumps(said))
    with (
        pytest.raises(Refused) if where == "config.json" else contextlib.suppress(Refused)
    ):  # a tokenizer.json does without its class
        read_hub(folder, rows)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["reader", "speaker"])
def test_a_hub_folder_may_not_name_kernels_to_fetch(name: str, hub: Path, rows: dict[str, Any], tmp_path: Path) -> None:
    folder = shutil.copytree(hub / name, tmp_path / name)
    said = json.loads((folder / "config.json").read_text()) | {"attn_implementation": "somebody/attention"}
    (folder / "config.json").write_text(json.dumps(said))
    with pytest.raises(Refused, match="somebody/attention"):
        read_hub(folder, rows)


@pytest.mark.parametrize("template", ["{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ cycler.__init__.__globals__.os.system('touch MARK') }}", "{% include '/etc/passwd' %}",
    "{{ messages.append.__self__.__class__ }}", "{% for i in range(999999999) %}x{% endfor %}", "{{ raise_exception('no') }}", "{%", "{{ messages[0].content.format.__globals__ }}"])  # fmt: skip
def test_a_chat_template_stays_in_its_sandbox(template: str, hub: Path, mark: Path, tmp_path: Path) -> None:
    tokenizer = language.load(f"hf:{hub / 'speaker'}").reader.tokenizer
    said = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}
    (tmp_path / "x.jsonl").write_text(json.dumps(said) + "\n")
    tokenizer.chat_template = template.replace("MARK", str(mark))
    with pytest.raises(Refused, match="chat_template"):
        chats.load(f"jsonl:{tmp_path / 'x.jsonl'}", tokenizer)
    assert not mark.exists()


def test_a_store_whose_shards_are_pickles_is_refused(mark: Path, tmp_path: Path) -> None:
    from understudy.teachers.labelling import label

    teacher, x = torch.nn.Linear(3, 4), torch.randn(8, 3)
    label(teacher, [x], tmp_path / "store", shards.Encoding("float32"))
    read = lambda: Recorded(tmp_path / "store")(x)
    assert read().shape == (8, 4)
    for shard in [p for p in (tmp_path / "store").iterdir() if p.suffix == ".safetensors"]:
        was = shard.read_bytes()
        for make in KINDS.values():
            shard.write_bytes(make(mark))
            with pytest.raises(Refused):
                read()
        shard.write_bytes(was)
    assert not mark.exists()


def test_a_kept_answer_that_is_a_pickle_is_refused(mark: Path, tmp_path: Path) -> None:
    from integration.endpoint import serve

    hello = [{"role": "user", "content": "hello"}]
    with serve(lambda *_: "five") as point:
        Client(point.url, "tiny", cache=tmp_path / "answers").write(hello)
        (kept,) = (tmp_path / "answers").glob("*.json")
        for make in KINDS.values():
            kept.write_bytes(make(mark))
            with pytest.raises(Refused, match="it is damaged"):
                Client(point.url, "tiny", cache=tmp_path / "answers").write(hello)
        assert len(point.asked) == 1
    assert not mark.exists()


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system", "!!python/object/new:os.system", "!!python/name:os.system", "!!python/module:os"]
)
def test_settings_with_tags_of_python_are_refused(tag: str, mark: Path, tmp_path: Path) -> None:
    for text in (f"teacher: {tag} ['touch {mark}']\n", f"teacher: {tag}\n"):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(Refused):
            config.build(config.read(tmp_path / "x.yaml"))
    assert not mark.exists()


def test_weights_may_not_say_what_to_import(
    tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch, rows: dict[str, Any]
) -> None:
    """The address of the network that stands in a file's metadata is data."""
    (tmp_path / "evil_of_this_test.py").write_text(f"open({str(mark)!r}, 'w').close()\nmake = None\n")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.safetensors"
    for arch in (
        "torch:evil_of_this_test:make",
        f"file:{path}",
        f"file:{path}?arch=torch:evil_of_this_test:make",
        "openai:http://127.0.0.1:9?model=x",
    ):
        save_file({"a": torch.zeros(2)}, path, {"arch": arch})
        with pytest.raises(Refused, match="arch"):
            models.load(f"file:{path}", data=rows["image"])
    assert not mark.exists()


def test_a_trap_is_what_it_says(mark: Path) -> None:
    assert pickle.dumps(Trap(mark)).count(b"exec") == 1
