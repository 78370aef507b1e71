"""understudy board"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from understudy.cli.shared import Answer, say
from understudy.core.errors import refuse

EXAMPLES = ("understudy board", "understudy board sweeps --port 9000 --open")
PORT = 8420
EXTRA = "'understudy[board]'"


def board(
    folder: Annotated[Path, Argument(help="The folder that runs are kept in.")] = Path("runs"),
    port: Annotated[int | None, Option(min=0, max=65535, help=f"Of 127.0.0.1; {PORT}, or any free one, when left out.")] = None,
    look: Annotated[bool, Option("--open", help="Open it in the browser.")] = False,
) -> Answer:
    """All runs of a folder on a local page, live: compare, open reports, start and stop.

    Only this machine's browser is answered, and only who has the address with its key."""
    from understudy.data.address import need

    for module in ("fastapi", "uvicorn", "plotly", "psutil"):
        need(module, EXTRA)
    if folder.exists() and not folder.is_dir():
        raise refuse("folder", str(folder), "a folder")
    import contextlib
    import secrets
    import webbrowser

    from understudy.board import server

    key, listening = secrets.token_urlsafe(24), server.listen(port, PORT)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/?key={key}"
    say(f"[bold]{folder}[/] is shown at [link={address}]{address}[/link]  [dim](Ctrl-C closes it; runs go on)[/]")
    if look:
        webbrowser.open(address)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve(folder, listening, key)
    return Answer({"folder": str(folder), "address": address.partition("?")[0]})
