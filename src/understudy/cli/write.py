"""understudy write"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from rich.text import Text
from typer import Option

from understudy.cli.shared import Answer, bars
from understudy.core.errors import refuse

EXAMPLES = ("understudy write --teacher 'openai:http://127.0.0.1:8000?model=large&budget=5&price=0.5/1.5' --data chats.jsonl --out written.jsonl",
            "understudy distill --task lm --teacher none --method alone --student hf:./small --data jsonl:written.jsonl")  # fmt: skip


def write(
    teacher: Annotated[
        str, Option(help="The endpoint: openai:<url>?model=<name>&key=<variable>&cache=<folder>&budget=…&price=…")
    ],
    data: Annotated[Path, Option(help="JSON lines with `messages`, or with `prompt`.")],
    out: Annotated[Path, Option(help="JSON lines with the teacher's answers.")],
    samples: Annotated[int, Option(min=1, help="Answers to each question.")] = 1,
    workers: Annotated[int, Option(min=1, help="Questions under way at once.")] = 8,
) -> Answer:
    """Have a remote language model answer questions, for a student to learn from its texts.

    For endpoints without log-probabilities; those with some are labelled, or asked as they are: `distill --teacher openai:…`."""
    from understudy.core.files import write_atomically
    from understudy.data.chats import rows_of
    from understudy.teachers.overheard import written
    from understudy.teachers.remote import from_address

    asked = []
    for number, row in enumerate(rows_of(data, "jsonl"), 1):
        said = row.get("messages") if isinstance(row, dict) else None
        if said is None and isinstance(row, dict) and isinstance(row.get("prompt"), str):
            said = [{"role": "user", "content": row["prompt"]}]
        if not isinstance(said, list) or not said:
            raise refuse("row", f"{data}:{number}", "an object with messages, or with prompt")
        asked.append(said)
    client = from_address(teacher)
    with bars() as bar:
        bar("written", 0, len(asked) * samples)
        lines = written(
            client, asked, samples=samples, workers=workers, progress=lambda n: bar("written", n, len(asked) * samples)
        )
    write_atomically(out, "".join(line + "\n" for line in lines))
    spent = client.spent
    return Answer(
        {"out": str(out), "rows": len(lines), "spent": json.loads(json.dumps(vars(spent)))},
        Text(f"✔ {out}  {len(lines):,} rows · {spent}"),
    )
