"""A student behind HTTP: `python examples/serving/serve.py student.onnx`, then POST {"x": [row, ...]} to http://127.0.0.1:8000/predict."""

import os
import sys

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime reads it when it is loaded; else it speaks to its makers

import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

BODY = 4_000_000  # bytes of a request
HOSTS = ["127.0.0.1", "localhost"]  # the names that it is asked by; else any page could have its own name lead here
DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


def serving(path: str, most: int = 256) -> FastAPI:
    """An application that answers what the file answers; most: rows of one request."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # one thread a request: small networks have no work for more, and requests come together
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    app = FastAPI(title=f"student {path}", docs_url=None, redoc_url=None)  # those pages load scripts from elsewhere
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)

    @app.middleware("http")
    async def small(request, go_on):
        size = request.headers.get("content-length", "0" if request.method in ("GET", "HEAD") else "")
        if not size.isdecimal() or int(size) > BODY:
            return JSONResponse({"detail": f"a request of at most {BODY:,} bytes, which says how long it is"}, 413)
        return await go_on(request)

    @app.post("/predict")  # not async: FastAPI gives it a thread, and ONNX Runtime lets others run meanwhile
    def predict(rows: dict[str, list]) -> dict[str, list]:
        inputs = {i.name: batch(i, rows.get(i.name), most) for i in session.get_inputs()}
        if extra := rows.keys() - inputs.keys():
            raise HTTPException(422, f"unknown: {', '.join(sorted(extra))}; known: {', '.join(inputs)}")
        if len({len(x) for x in inputs.values()}) > 1:
            raise HTTPException(422, f"as many rows in each of {', '.join(inputs)}")
        return {"out": session.run(None, inputs)[0].tolist()}

    return app


def batch(wanted, rows, most):
    """Rows as the session takes them, or a 422 that says what is wrong with them."""
    shape = tuple(wanted.shape[1:])
    try:
        x = np.asarray([] if rows is None else rows)
    except ValueError:
        raise HTTPException(422, f"{wanted.name}: rows of one shape, {shape}") from None
    kinds = "iu" if wanted.type == "tensor(int64)" else "iuf"
    if x.dtype.kind not in kinds or not 0 < len(x) <= most or x.shape[1:] != shape or not np.isfinite(x).all():
        raise HTTPException(422, f"{wanted.name}: 1 to {most} rows of {shape} {wanted.type[7:-1]}s, not {x.shape} of {x.dtype}")
    with np.errstate(over="ignore"):
        x = x.astype(DTYPES[wanted.type])
    if not np.isfinite(x).all():
        raise HTTPException(422, f"{wanted.name}: numbers within the range of {wanted.type[7:-1]}s")
    return x


if __name__ == "__main__":
    uvicorn.run(serving(sys.argv[1]), host="127.0.0.1", port=8000)
