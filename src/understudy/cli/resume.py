"""understudy resume"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument

from understudy.cli.distill import finish
from understudy.cli.settings import SkipBad, Trust
from understudy.cli.shared import Answer, complete_runs, waiting

EXAMPLES = ("understudy resume runs/2026-11-21-093000-dkd-digits",)


def resume(
    run: Annotated[Path, Argument(help="The run's folder.", autocompletion=complete_runs)],
    skip_bad_batches: SkipBad = None,
    trust: Trust = False,
) -> Answer:
    """Go on with a run from its last checkpoint.

    It comes to the same bits as if it had never stopped. A run that a loss stopped may be told to pass over such steps."""
    with waiting(f"loading {run} …"):
        from understudy.job import resume

        job = resume(run, trust=trust, skip_bad_batches=skip_bad_batches)
    return finish(job)
