"""A trained network as files that run without Understudy, each checked against the network it came from."""

from __future__ import annotations

from pathlib import Path

from understudy.core.errors import refuse

FORMATS = {".safetensors": "safetensors", ".int8.onnx": "int8", ".onnx": "onnx", ".pt2": "program"}  # the first that fits counts


def kind_of(path: Path) -> str:
    """What a path asks for by its ending: 'safetensors', 'onnx', 'int8', 'program', or 'folder' where it has none.

    Raises `Refused` for other endings, for a folder that holds something, and for what can't be written because of what is there."""
    found = next((kind for ending, kind in FORMATS.items() if path.name.endswith(ending)), "" if path.suffix else "folder")
    if not found:
        raise refuse("export", str(path), f"a path that ends in {', '.join(FORMATS)}, or a folder (no ending)")
    if found == "folder" and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise refuse("export", str(path), "a folder that isn't there or is empty", "remove what is there, or choose another")
    if found != "folder" and path.is_dir():
        raise refuse("export", str(path), "a file's path; it is a folder", "choose another name")
    above = next((p for p in path.parents if p.exists()), path.parent)
    if not above.is_dir():
        raise refuse("export", str(path), f"a path in a folder; {above} is a file", "choose another")
    return found
