"""The routes of the service."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

import neggen
from neggen.errors import NegGenError
from neggen.serving import answers
from neggen.serving.gate import MODEL_VERSION, Gate
from neggen.serving.loaded import Loaded
from neggen.serving.refusals import CODES, Refusal, busy
from neggen.serving.schemas import (
    BatchRequest,
    BatchResponse,
    ErrorResponse,
    HealthResponse,
    IndexInfo,
    ItemResponse,
    ModelResponse,
    NewItemsRequest,
    NewItemsResponse,
    RankedResponse,
    RecommendRequest,
    ReloadRequest,
    SimilarRequest,
)
from neggen.serving.service import Service
from neggen.serving.words import Words

Responses = dict[int | str, dict[str, Any]]


def _errors(*statuses: int) -> Responses:
    """Document the refusals of a route."""
    return {
        status: {"model": ErrorResponse, "description": CODES.get(status, "conflict")}
        for status in (401, 403, 429, 503, *statuses)
    }


BODY = _errors(400, 404, 408, 409, 413, 415, 422)
"""What every route with a body may refuse with."""


def create_app(service: Service) -> ASGIApp:
    """Return the application that serves ``service``, behind its gate."""
    app = FastAPI(
        title="neggen",
        version=neggen.__version__,
        description="Recommendations of a trained run. Every refusal has the body "
        '`{"error": {"code", "message"}}`.',
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(service),
    )
    _add_recommending(app, service)
    _add_running(app, service)
    app.exception_handler(Refusal)(_refuse)
    app.exception_handler(NegGenError)(_refuse_sentence)
    app.exception_handler(RequestValidationError)(_refuse_body)
    app.exception_handler(HTTPException)(_refuse_route)
    app.exception_handler(Exception)(_fail)
    gate = Gate(app, service)
    if not service.settings.cors_origins:
        return gate
    origins = list(service.settings.cors_origins)
    headers = ["Authorization", "Content-Type", "X-Request-ID"]
    return CORSMiddleware(gate, origins, allow_methods=["GET", "POST"], allow_headers=headers)


def _add_recommending(app: FastAPI, service: Service) -> None:
    @app.post("/v1/recommend", responses=BODY, response_model_exclude_none=True)
    async def recommend(body: RecommendRequest, request: Request) -> RankedResponse:
        """Return the best items for a user, or for somebody with a history."""
        loaded = _used(request, service.current)
        run = service.encode if body.explain else service.compute
        items = await run(answers.recommend, loaded, body)
        return RankedResponse(items=items, model_version=loaded.version)

    @app.post("/v1/recommend/batch", responses=BODY, response_model_exclude_none=True)
    async def recommend_batch(body: BatchRequest, request: Request) -> BatchResponse:
        """Answer several requests by the same model; each gets its list or its own error."""
        loaded = _used(request, service.current)
        run = service.encode if any(each.explain for each in body.requests) else service.compute
        until = time.monotonic() + service.settings.timeout
        results = await run(answers.recommend_all, loaded, body, until)
        return BatchResponse(results=results, model_version=loaded.version)

    @app.post("/v1/similar-items", responses=BODY, response_model_exclude_none=True)
    async def similar_items(body: SimilarRequest, request: Request) -> RankedResponse:
        """Return the items most like an item."""
        loaded = _used(request, service.current)
        items = await service.compute(answers.similar_items, loaded, body)
        return RankedResponse(items=items, model_version=loaded.version)

    @app.post("/v1/new-items", responses=BODY, response_model_exclude_none=True)
    async def new_items(body: NewItemsRequest, request: Request) -> NewItemsResponse:
        """Rank items that the model was not trained on, by their texts."""
        loaded = _used(request, service.current)
        items, left_out = await service.encode(answers.new_items, loaded, body)
        return NewItemsResponse(items=items, model_version=loaded.version, left_out=left_out)

    @app.get("/v1/items/{item_id:path}", responses=_errors(404, 422))
    async def item(item_id: str, request: Request) -> ItemResponse:
        """Return what is known of an item."""
        return answers.item(_used(request, service.current), item_id)


def _add_running(app: FastAPI, service: Service) -> None:
    @app.get("/v1/model", responses=_errors())
    async def model(request: Request) -> ModelResponse:
        """Say which model answers, how good it is, and how its best items are found."""
        return _describe(_used(request, service.current))

    @app.post("/v1/admin/reload", responses=BODY)
    async def reload(body: ReloadRequest, request: Request) -> ModelResponse:
        """Serve another run, once it is loaded and tried out; requests go on meanwhile."""
        loaded = await service.reload(service.find(body.run))
        return _describe(_used(request, loaded))

    @app.get("/healthz")
    async def healthz() -> HealthResponse:
        """Say that the process lives."""
        return HealthResponse(status="ok")

    @app.get("/readyz", responses={503: {"model": ErrorResponse, "description": "unavailable"}})
    async def readyz() -> HealthResponse:
        """Say whether requests should be sent here."""
        if service.draining:
            raise busy(503, "This server is about to end.")
        return HealthResponse(status="ready")

    @app.get("/metrics", responses=_errors(), response_class=Response)
    async def metrics() -> Response:
        """Return the figures of this server for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


def _lifespan(service: Service) -> Any:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, service.look_again)
        tasks = [loop.create_task(service.follow_pointer())]
        if service.settings.watch:
            tasks.append(loop.create_task(service.watch()))
        yield
        loop.remove_signal_handler(signal.SIGHUP)
        for task in tasks:
            task.cancel()
        service.close()

    return lifespan


def _used(request: Request, loaded: Loaded) -> Loaded:
    """Note for the log which run answers a request, and return it."""
    request.scope[MODEL_VERSION] = loaded.version
    return loaded


def _describe(loaded: Loaded) -> ModelResponse:
    model = loaded.model
    return ModelResponse(
        model=model.name,
        run=loaded.run.folder.name,
        version=loaded.version,
        trained=loaded.trained,
        users=len(model._user_index),
        items=len(loaded.item_ids),
        settings=loaded.manifest["settings"],
        metrics=loaded.metrics,
        index=IndexInfo(kind=loaded.index.kind, recall=loaded.index.recall),
        explains=isinstance(loaded.words, Words),
        ranks_new_items=isinstance(loaded.words, Words) and loaded.words.ranks_new,
    )


async def _refuse(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    return refusal.response()


async def _refuse_sentence(request: Request, error: Exception) -> Response:
    return Refusal(409, str(error), "not_supported").response()


async def _refuse_body(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return Refusal(422, f"{where}: {first['msg']}").response()


async def _fail(request: Request, error: Exception) -> Response:
    return Refusal(500, "Something went wrong here.").response()


async def _refuse_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = CODES.get(error.status_code, "refused")
    return Refusal(error.status_code, str(error.detail), code, error.headers).response()
