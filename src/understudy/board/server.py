"""The page and what it asks for. Only this machine's own browser is answered, and only the page itself may start or stop anything."""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict
from starlette.middleware.gzip import GZipMiddleware

from understudy.board import launch
from understudy.board.index import Index
from understudy.board.launch import Wish
from understudy.core import registry
from understudy.core.errors import Refused, refuse

HERE = Path(__file__).parent
HOSTS = ("127.0.0.1", "localhost", "[::1]")  # any port: the page may be looked at through a tunnel
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
DOWNLOADS = ("student.onnx", "student.safetensors", "README.md", "config.toml", "findings.json", "metrics.jsonl")
MOST = 12  # runs side by side
TASKS = ("classify", "multilabel", "regress", "lm")  # of the main job
BODY = 100_000  # bytes of a request
PAGE = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
REPORT = {  # a page of its own origin, which may draw and nothing else; browsers refuse a sandbox with an opener policy
    "Content-Security-Policy": "sandbox allow-scripts allow-popups; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "unsafe-none",
}
SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin", "X-Frame-Options": "DENY"}  # fmt: skip

Next = Callable[[Request], Awaitable[Response]]


class Named(BaseModel):
    """Which run is meant."""

    model_config = ConfigDict(extra="forbid", strict=True)

    run: str


def create_app(folder: Path, *, key: str, program: Sequence[str] = launch.PROGRAM) -> FastAPI:
    """The board of a folder. key: who brings it in the address is let in, and keeps it as a cookie. program: what runs a command."""
    index, token = Index(folder, program), secrets.token_urlsafe(32)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.index = index
    app.add_middleware(GZipMiddleware, minimum_size=2000, compresslevel=5)

    @app.middleware("http")
    async def guard(request: Request, go_on: Next) -> Response:
        answer = _refused(request, key, token) or _let_in(request, key) or await go_on(request)
        for name, value in SAFE.items():
            answer.headers.setdefault(name, value)
        answer.headers.setdefault("Content-Security-Policy", PAGE)
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer

    @app.exception_handler(Refused)
    def told(_: Request, e: Refused) -> Response:
        return JSONResponse({"error": str(e)}, 422)

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, e: RequestValidationError) -> Response:
        first = e.errors()[0]
        return JSONResponse({"error": f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}"}, 422)

    @app.get("/")
    def page() -> Response:
        return HTMLResponse(_page(token, str(folder)))

    @app.get("/static/{name}")
    def static(name: str, request: Request) -> Response:
        if name not in _static():
            return PlainTextResponse("there is no such file", 404)
        text, kind, tag = _static()[name]
        return _fresh(request, tag, lambda: Response(text, media_type=kind), {"Cache-Control": "no-cache"})

    @app.get("/plotly.js")
    def plotly() -> Response:
        from plotly.offline import get_plotlyjs

        return Response(
            get_plotlyjs(), media_type=KINDS[".js"], headers={"Cache-Control": "private, max-age=31536000, immutable"}
        )

    @app.get("/api/runs")
    def runs(request: Request, epoch: str = "", since: int = 0) -> Response:
        tag = f'"{index.epoch}-{index.look()}"'
        return _fresh(request, tag, lambda: _json(index.changes(epoch, since)))

    @app.get("/api/beside")
    def beside(request: Request, run: Annotated[list[str], Query(max_length=MOST)]) -> Response:
        return _fresh(request, f'"{index.stamp(run)}"', lambda: _json(index.beside(run)))

    @app.get("/api/methods")
    def methods() -> Response:
        entries = (e for e in registry.entries().values() if not e.card.tasks or set(e.card.tasks) & set(TASKS))
        return _json([{"name": e.name, "family": e.family, "idea": e.idea, "lm": e.card.tasks == ("lm",)} for e in entries])

    @app.get("/runs/{name:path}/report")
    def report(name: str) -> Response:
        return FileResponse(index.file(name, "report.html"), media_type="text/html", headers=REPORT)

    @app.get("/runs/{name:path}/files/{file}")
    def file(name: str, file: str) -> Response:
        if file not in DOWNLOADS:
            raise refuse("file", file, f"one of {', '.join(DOWNLOADS)}")
        return FileResponse(index.file(name, file), media_type="application/octet-stream", filename=file)

    @app.get("/runs/{name:path}/output")
    def output(name: str) -> Response:
        return PlainTextResponse(index.log(name))

    @app.post("/api/command")
    def command(wish: Wish) -> Response:
        name = wish.name or "…"
        return _json(
            {"command": launch.spelled(a for a in launch.words(wish, folder, name) if wish.name or not a.startswith("--run-id="))}
        )

    @app.post("/api/start")
    def start(wish: Wish) -> Response:
        return _json({"run": index.start(wish)})

    @app.post("/api/resume")
    def resume(asked: Named) -> Response:
        return _json(index.resume(asked.run))

    @app.post("/api/stop")
    def stop(asked: Named) -> Response:
        return _json(index.stop(asked.run))

    @app.post("/api/dismiss")
    def dismiss(asked: Named) -> Response:
        return _json(index.dismiss(asked.run))

    return app


def _refused(request: Request, key: str, token: str) -> Response | None:
    """Why a request isn't answered: another site's name for this machine, another site's page, or nobody whom we know."""
    host = request.headers.get("host", "")
    name, _, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
    if name not in HOSTS or not (port or "0").isdecimal():
        return PlainTextResponse("this page is only at 127.0.0.1 or localhost", 421)
    if request.method == "POST":
        here = (
            request.headers.get("origin") == f"http://{host}"
            and request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
        )
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        size = request.headers.get("content-length", "")
        if not here or not secrets.compare_digest(request.headers.get("x-board-token", "").encode(), token.encode()):
            return JSONResponse({"error": "only the page itself may ask for this: reload it"}, 403)
        if kind != "application/json" or not size.isdecimal() or int(size) > BODY:
            return JSONResponse({"error": "JSON, and not much of it, is taken"}, 415)
    elif request.method not in ("GET", "HEAD"):
        return PlainTextResponse("GET or POST", 405)
    given = request.cookies.get(_cookie(request)) or (request.query_params.get("key") if request.url.path == "/" else None) or ""
    if not secrets.compare_digest(given.encode(), key.encode()):
        return PlainTextResponse("open the address that `understudy board` printed: it holds the key to this page", 403)
    return None


def _let_in(request: Request, key: str) -> Response | None:
    """The key out of the address and into a cookie, where other users of the machine don't find it."""
    if request.url.path != "/" or "key" not in request.query_params:
        return None
    answer = RedirectResponse("/", 303)
    answer.set_cookie(_cookie(request), key, httponly=True, samesite="lax")
    return answer


def _cookie(request: Request) -> str:
    return f"understudy-board-{request.url.port or 80}"  # cookies don't tell ports apart


def _fresh(request: Request, tag: str, make: Callable[[], Response], headers: dict[str, str] | None = None) -> Response:
    """What is made, unless the page has it."""
    known = request.headers.get("if-none-match", "").removeprefix("W/")
    answer = Response(status_code=304) if known == tag else make()
    answer.headers.update({"ETag": tag} | (headers or {}))
    return answer


def _json(value: Any) -> Response:
    return Response(json.dumps(value, allow_nan=False), media_type="application/json")


@cache
def _static() -> dict[str, tuple[bytes, str, str]]:
    """Name -> bytes, kind and tag, of the files that there are."""
    found = {p.name: (p.read_bytes(), KINDS[p.suffix]) for p in (HERE / "static").iterdir() if p.suffix in KINDS}
    return {name: (text, kind, f'"{hashlib.blake2b(text, digest_size=8).hexdigest()}"') for name, (text, kind) in found.items()}


def _page(token: str, folder: str) -> str:
    pages = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    return pages.get_template("board.html.j2").render(token=token, folder=folder, version=version("understudy"), plotly=f"/plotly.js?{quote(version('plotly'))}")  # fmt: skip


def listen(port: int | None, usual: int) -> socket.socket:
    """A socket on this machine's own address. port: None takes the usual one, or any that is free. Raises `Refused` where it's taken."""
    for wanted in (usual, 0) if port is None else (port,):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", wanted))
            s.listen()  # who comes before the page is ready waits
            return s
        except OSError as e:
            s.close()
            if wanted == port:
                raise refuse("--port", port, f"a free one ({e.strerror})", "leave it out to take any") from None
    raise AssertionError("port 0 is always free")


def serve(folder: Path, s: socket.socket, key: str) -> None:
    """Answer until Ctrl-C."""
    uvicorn.Server(uvicorn.Config(create_app(folder, key=key), log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2)).run(sockets=[s])  # fmt: skip
