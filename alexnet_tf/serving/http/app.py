"""The routes of the server: TensorFlow Serving's REST paths, files as they are, and a page.

    GET  /v1/models/NAME[/versions/N]              status
    GET  /v1/models/NAME[/versions/N]/metadata     signatures
    POST /v1/models/NAME[/versions/N]:predict      JSON
    POST /predict                                  image files: multipart form, or one as the body
    GET  /                                         a page to drop a picture on
    GET  /healthz /readyz /metrics                 alive; ready; Prometheus

Every error is JSON, `{"error": "..."}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from alexnet_common.errors import UserError
from alexnet_common.messages import log
from alexnet_tf.serving.http import tensorflow_json
from alexnet_tf.serving.http.batching import Overloaded
from alexnet_tf.serving.http.inference import Inference, Settings
from alexnet_tf.serving.http.limits import LimitedBody
from alexnet_tf.serving.http.metrics import Metrics
from alexnet_tf.serving.http.tensorflow_json import RequestError
from alexnet_tf.serving.loaded import DEFAULT, LoadedModel

_PAGE = Path(__file__).with_name("page.html")
# The page loads nothing from elsewhere, and nobody may frame it.
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "img-src blob:; connect-src 'self'; frame-ancestors 'none'"
    )
}
_CLIENT_LEFT = 499


class Server:
    """One model under one name.

    Attributes:
        app: the Starlette application.
        ready: whether new requests are welcome; False while it stops.
    """

    def __init__(self, model: LoadedModel, name: str, settings: Settings | None = None):
        self.model, self.name = model, name
        self.settings = settings or Settings()
        self.metrics = Metrics()
        self.metrics.model.labels(name).set(model.version)
        self.signatures = {
            signature: tensorflow_json.signature_of(function)
            for signature, function in model.signatures.items()
            if not signature.startswith("__")
        }
        self.ready = True
        self._page = _PAGE.read_text(encoding="utf-8").replace("{{name}}", _escaped(name))
        self.app = Starlette(
            routes=self._routes(),
            middleware=[
                Middleware(_Measured, server=self),
                Middleware(
                    LimitedBody,
                    max_bytes=self.settings.max_body_bytes,
                    max_bytes_together=8 * self.settings.max_body_bytes,
                    seconds=self.settings.body_seconds,
                ),
            ],
            exception_handlers={
                HTTPException: _refused,
                RequestError: _bad_request,
                UserError: _bad_request,
                Overloaded: _overloaded,
                TimeoutError: _timed_out,
                ClientDisconnect: _client_left,
                Exception: _failed,
            },
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self.inference = Inference(self.model, self.settings, self.metrics)
        yield
        await self.inference.close()

    def _routes(self) -> list[Route]:
        model = "/v1/models/{model_name}"
        routes = []
        for path in (model, model + "/versions/{version:int}"):
            # A name would swallow the verb, so that the verbs come first.
            routes += [
                Route(path + ":predict", self.predict, methods=["POST"], name="predict"),
                Route(path + ":{verb}", self.other_verb, methods=["POST"], name="other"),
                Route(path + "/metadata", self.metadata, name="metadata"),
                Route(path, self.status, name="status"),
            ]
        return [
            *routes,
            Route("/predict", self.predict_files, methods=["POST"], name="predict_files"),
            Route("/", self.page, name="page"),
            Route("/healthz", self.health, name="health"),
            Route("/readyz", self.readiness, name="health"),
            Route("/metrics", self.prometheus, name="metrics"),
            Route("/monitoring/prometheus/metrics", self.prometheus, name="metrics"),
        ]

    async def status(self, request: Request) -> Response:
        """What version is served."""
        self._check_model(request)
        return _json(tensorflow_json.status(self.model.version))

    async def metadata(self, request: Request) -> Response:
        """What the signatures take and return."""
        self._check_model(request)
        return _json(tensorflow_json.metadata(self.name, self.model.version, self.signatures))

    async def predict(self, request: Request) -> Response:
        """TensorFlow Serving's predict."""
        self._check_model(request)
        body = await request.body()
        async with asyncio.timeout(self.settings.answer_seconds):
            read = await self.inference.in_thread(tensorflow_json.read, body, self.signatures)
            del body
            rows = max((array.shape[0] for array in read.inputs.values() if array.ndim), default=1)
            self._check_count(rows)
            if self.model.takes_files(read.signature):
                (contents,) = read.inputs.values()
                outputs = await self.inference.of_files(read.signature, list(contents))
                if not outputs["valid"].any():
                    raise RequestError(_reasons(outputs["error"]))
            else:
                outputs = await self.inference.call(read.signature, read.inputs)
            names = self.signatures[read.signature].outputs
            chosen = {name: values for name, values in outputs.items() if name in names}
            answer = await self.inference.in_thread(_encoded, chosen, read.in_rows)
        return Response(answer, media_type="application/json")

    async def other_verb(self, request: Request) -> Response:
        """classify and regress want tf.Example protocol buffers, which no export of ours takes."""
        self._check_model(request)
        verb = request.path_params["verb"]
        raise HTTPException(400, f"{verb} is not offered by this model; use :predict")

    async def predict_files(self, request: Request) -> Response:
        """Image files as they are: their best classes, in their order."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            async with request.form(max_files=self.settings.max_instances) as form:
                uploads = [part for _, part in form.multi_items() if not isinstance(part, str)]
                names = [upload.filename or "" for upload in uploads]
                contents = [await upload.read() for upload in uploads]
        else:
            names, contents = [""], [await request.body()]
        if not contents or contents == [b""]:
            raise RequestError(
                "no image: send one as the body (curl --data-binary @FILE) or several as a form "
                "(curl -F image=@FILE)"
            )
        self._check_count(len(contents))
        async with asyncio.timeout(self.settings.answer_seconds):
            outputs = await self.inference.of_files(DEFAULT, contents)
        results = []
        for row, (name, valid) in enumerate(zip(names, outputs["valid"], strict=True)):
            result: dict[str, Any] = {"file": name}
            if valid:
                result["top_5"] = self.model.best(outputs, row)
            else:
                result["error"] = outputs["error"][row].decode()
            results.append(result)
        if not outputs["valid"].any():
            raise RequestError(_reasons(outputs["error"]))
        return _json({"model": self.name, "version": self.model.version, "results": results})

    async def page(self, request: Request) -> Response:
        """The page to drop a picture on."""
        return HTMLResponse(self._page, headers=_PAGE_HEADERS)

    async def health(self, request: Request) -> Response:
        """The process answers."""
        return _json({"status": "alive"})

    async def readiness(self, request: Request) -> Response:
        """The model is loaded and the server does not stop."""
        if not self.ready:
            raise HTTPException(503, "stopping")
        return _json({"status": "ready", "model": self.name, "version": self.model.version})

    async def prometheus(self, request: Request) -> Response:
        """Counters for Prometheus."""
        return Response(self.metrics.text(), media_type=self.metrics.content_type)

    def _check_model(self, request: Request) -> None:
        name = request.path_params["model_name"]
        if name != self.name:
            raise HTTPException(
                404, f"Servable not found for request: {name}; there is {self.name}"
            )
        version = request.path_params.get("version", self.model.version)
        if version != self.model.version:
            raise HTTPException(
                404, f"version {version} of {name} is not served; {self.model.version} is"
            )

    def _check_count(self, count: int) -> None:
        if count > self.settings.max_instances:
            raise HTTPException(
                413,
                f"{count:,} images in one request, at most {self.settings.max_instances:,} are "
                "taken",
            )


class _Measured:
    """Middleware that counts requests and their time; unknown paths share one name."""

    def __init__(self, app: Any, server: Server):
        self.app, self.metrics = app, server.metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0

        async def noted(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        begin = time.perf_counter()
        with self.metrics.in_flight.track_inprogress():
            try:
                await self.app(scope, receive, noted)
            finally:
                route = scope.get("route")
                endpoint = route.name if route is not None else "unknown"
                self.metrics.requests.labels(endpoint, str(status or 500)).inc()
                self.metrics.seconds.labels(endpoint).observe(time.perf_counter() - begin)


def _encoded(outputs: Any, in_rows: bool) -> bytes:
    return json.dumps(tensorflow_json.answer(outputs, in_rows)).encode()


def _reasons(errors: np.ndarray) -> str:
    """Why none of the images could be read, each reason once."""
    reasons = list(dict.fromkeys(error.decode() for error in errors))
    shown = "; ".join(reasons[:3]) + ("; ..." if len(reasons) > 3 else "")
    what = "the image" if len(errors) == 1 else f"none of the {len(errors)} images"
    return f"{what} {'cannot' if len(errors) == 1 else 'can'} be read: {shown}"


def _json(content: Any, status: int = 200, headers: Any = None) -> Response:
    text = json.dumps(content, ensure_ascii=False, indent=1)
    return Response(text + "\n", status, headers, media_type="application/json")


def _refused(request: Request, error: Any) -> Response:
    return _json({"error": error.detail}, error.status_code, error.headers)


def _bad_request(request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 400)


def _overloaded(request: Request, error: Exception) -> Response:
    return _json({"error": "too many images wait; try again"}, 503, {"Retry-After": "1"})


def _timed_out(request: Request, error: Exception) -> Response:
    return _json({"error": "the answer took too long"}, 504)


def _client_left(request: Request, error: Exception) -> Response:
    return Response(status_code=_CLIENT_LEFT)


def _failed(request: Request, error: Exception) -> Response:
    log(f"error: {request.url.path}: {type(error).__name__}: {error}")
    return _json({"error": "internal error; the server's log says more"}, 500)


def _escaped(text: str) -> str:
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, entity)
    return text
