"""The configuration: read it, replace it whole, know its shape."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from detector.config import document as configfile
from detector.core.errors import ConfigError

from . import documents as doc
from .control import Control, Document, StaleConfigError
from .entity_tags import entity_tags
from .respond import document, fixed

_MAX_VALUES, _MAX_DEPTH = 100_000, 32
_EXAMPLE = {"cameras": {"porch": {"source": "rtsp://***@10.0.0.4/stream1"}}, "api": {"token": "***"}}


def _no_twins(pairs: list[tuple[str, Any]]) -> Document:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise HTTPException(400, "the body is not valid JSON: a key is given twice")
    return result


def _no_constant(name: str) -> float:
    raise HTTPException(400, f"the body is not valid JSON: it has no {name}")


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise HTTPException(400, f"the body is not valid JSON: {where}: {error.msg}") from None
    except RecursionError:
        raise HTTPException(400, "the body is nested too deeply") from None


def _parse_yaml(text: str) -> Any:
    try:
        return configfile.parse(text)
    except ConfigError as error:
        raise HTTPException(400, str(error)) from None


def _bounded(value: Any) -> None:
    """Refuse what YAML's aliases blow up: a few bytes can stand for billions of values, or for themselves."""
    stack, seen = [(value, 0)], 0
    while stack:
        item, depth = stack.pop()
        seen += 1
        if seen > _MAX_VALUES or depth > _MAX_DEPTH:
            raise HTTPException(400, "the body holds too many or too deeply nested values")
        children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        stack.extend((child, depth + 1) for child in children)


def _parse(body: bytes, content_type: str) -> Document:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise HTTPException(400, "the body is not UTF-8 text") from None
    value = _parse_yaml(text) if "yaml" in content_type.lower() else _parse_json(text)
    _bounded(value)
    if not isinstance(value, dict):
        raise ConfigError("the config must be a mapping of sections")
    return value


def _tag(if_match: str | None, control: Control) -> str | None:
    """The one entity tag that the caller builds on, None for `*`."""
    if if_match is None:
        raise HTTPException(428, "send If-Match with the ETag that GET /api/config gave, or * to overwrite")
    tags = entity_tags(if_match)
    if tags == ["*"]:
        return None
    if len(tags) == 1:
        return tags[0]
    current = control.config_document()[1]
    if current not in tags:
        raise StaleConfigError
    return current


def router(control: Control, schema: Document) -> APIRouter:
    """`/api/config` and `/api/config/schema`."""
    routes = APIRouter(tags=["configuration"], prefix="/api/config")

    @routes.get("", summary="The configuration, secrets masked; its version in ETag", response_model=dict[str, Any])
    def read() -> Response:
        content, tag = control.config_document()
        return document(content, headers={"ETag": tag})

    @routes.put(
        "",
        summary="Replace the configuration as a whole, in JSON or YAML",
        description="A secret that is still masked keeps its value, for the host that it was for. The whole is "
        "validated before any of it applies; untouched cameras lose no frame. A fault leaves the old configuration in "
        "place. Files, pipelines, paths, new ${...} and http cameras on this machine are for the config file itself, "
        "which may list more in api.allowed_sources.",
        response_model=doc.ConfigReplaced,
        responses={
            400: {"model": doc.Fault, "description": "The body is not valid JSON or YAML"},
            412: {"model": doc.Fault, "description": "Changed by somebody else since it was read"},
            422: {"model": doc.Fault, "description": "Invalid; `key` names the culprit"},
            428: {"model": doc.Fault, "description": "If-Match is missing"},
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": {"type": "object"}, "example": _EXAMPLE},
                    "application/yaml": {"schema": {"type": "object"}},
                },
            }
        },
    )
    async def replace(
        request: Request,
        if_match: Annotated[str | None, Header(description="the ETag that GET gave, or *")] = None,
    ) -> Response:
        body, kind = await request.body(), request.headers.get("content-type", "")

        def work() -> Response:
            tag = _tag(if_match, control)
            content, fresh, restart = control.replace_config(_parse(body, kind), tag)
            return document({"config": content, "restart_required": restart}, headers={"ETag": fresh})

        return await run_in_threadpool(work)

    @routes.get("/schema", summary="The configuration's JSON Schema", response_model=dict[str, Any])
    def shape() -> Response:
        return fixed(schema)

    return routes
