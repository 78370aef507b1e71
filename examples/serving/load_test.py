"""How much `examples/serving/serve.py` bears: `python examples/serving/load_test.py student.onnx [requests] [at once]`, on this machine alone.

Every answer is compared with ONNX Runtime's own; rate and latencies are printed."""

import asyncio
import contextlib
import socket
import sys
import threading
import time

import httpx
import numpy as np
import uvicorn
from serve import DTYPES, ort, serving


def made_up(session: ort.InferenceSession, seed: int) -> dict[str, np.ndarray]:
    """One to eight rows that the file takes."""
    dice = np.random.default_rng(seed)
    rows = int(dice.integers(1, 9))
    return {i.name: dice.integers(0, 2, (rows, *i.shape[1:])).astype(DTYPES[i.type]) for i in session.get_inputs()}


@contextlib.contextmanager
def running(path: str):
    """The server in a thread, on a port that is free; its address."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(serving(path), log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


async def ask(url: str, requests: list[dict[str, np.ndarray]], at_once: int) -> tuple[list[np.ndarray], list[float], float]:
    """Answers in order, seconds of each, and seconds of all."""
    gate = asyncio.Semaphore(at_once)

    async with httpx.AsyncClient(
        base_url=url, limits=httpx.Limits(max_connections=at_once), timeout=60, trust_env=False
    ) as client:

        async def one(rows: dict[str, np.ndarray]) -> tuple[np.ndarray, float]:
            async with gate:
                begun = time.perf_counter()
                reply = await client.post("/predict", json={k: v.tolist() for k, v in rows.items()})
                seconds = time.perf_counter() - begun
            reply.raise_for_status()
            return np.asarray(reply.json()["out"]), seconds

        begun = time.perf_counter()
        told = await asyncio.gather(*(one(rows) for rows in requests))
        return [out for out, _ in told], [s for _, s in told], time.perf_counter() - begun


def load(path: str, count: int, at_once: int) -> dict[str, float]:
    """Requests, how many answers differ from the file's own by more than 1e-5 of the largest, requests and rows a second, and milliseconds of a request."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    requests = [made_up(session, seed) for seed in range(count)]
    with running(path) as url:
        outs, seconds, whole = asyncio.run(ask(url, requests, at_once))
    own = [session.run(None, rows)[0] for rows in requests]
    wrong = sum(
        a.shape != b.shape or not np.allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max()) for a, b in zip(outs, own, strict=True)
    )
    middle, late = (1000 * float(q) for q in np.quantile(seconds, (0.5, 0.99)))
    rows = sum(len(next(iter(r.values()))) for r in requests)
    return {
        "requests": count,
        "wrong": wrong,
        "requests_s": count / whole,
        "rows_s": rows / whole,
        "median_ms": middle,
        "p99_ms": late,
    }


if __name__ == "__main__":
    path, count, at_once = sys.argv[1], *(int(a) for a in (*sys.argv[2:4], *("1000", "32")[len(sys.argv) - 2 :]))
    f = load(path, count, at_once)
    print(f"{f['requests']:,} requests, {at_once} at once: {f['requests_s']:,.0f} requests and {f['rows_s']:,.0f} rows a second")
    print(f"a request: median {f['median_ms']:.1f} ms, 99 % within {f['p99_ms']:.1f} ms · {f['wrong']} wrong answers")
    sys.exit(1 if f["wrong"] else 0)
