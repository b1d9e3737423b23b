"""What the gateway is held against: the same request and answer on FastAPI, and nothing else."""

from __future__ import annotations

from fastapi import FastAPI

from loadtests.gateway_cost.exchange import ANSWER, PATH
from service.gateway.api.schemas import TranslateReplyBody, TranslateRequest

__all__ = ["bare_application"]


def bare_application() -> FastAPI:
    """One route, which reads a request of the native API and writes an answer of it."""
    app = FastAPI(openapi_url=None)

    @app.post(PATH, response_model_exclude_unset=True)
    async def translate(body: TranslateRequest) -> TranslateReplyBody:
        return TranslateReplyBody.model_validate(ANSWER)

    return app
