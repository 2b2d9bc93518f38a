"""Answers in JSON: documents as they are, faults as `{"error": ..., "key": ...}` that never echo a value."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from detector.core.errors import ConfigError, DetectorError
from detector.core.redact import redact

from .control import StaleConfigError, WrongCodeError

_log = logging.getLogger(__name__)
_PLAIN = {
    404: "there is nothing at this address: /docs lists what there is",
    405: "this address does not take that method: /docs lists what it takes",
}


def _finite(value: Any) -> Any:
    """`value` with NaN and infinities as null: JSON has none, and one bad figure must not hide the rest."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value


def document(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer, UTF-8, with the secrets in its text masked."""
    return fixed(redact.document(content), status=status, headers=headers)


def fixed(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer of the program's own words, a schema, in which no secret can be."""
    body = json.dumps(_finite(content), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(body.encode(), status, headers, media_type="application/json")


def fault(status: int, error: str, *, key: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """A JSON fault; `key` is the dotted path of the parameter or config key that is wrong."""
    return document({"error": error, "key": key}, status=status, headers=headers)


def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    stock = error.detail in ("Not Found", "Method Not Allowed")
    text = _PLAIN.get(error.status_code, str(error.detail)) if stock else str(error.detail)
    return fault(error.status_code, text, headers=error.headers)


def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Only type, place and message: pydantic's "input" would send a password back.
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return fault(400, "the body is not valid JSON")
    key = ".".join(str(part) for part in first["loc"][1:])
    text = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return fault(422, f"{key}: {text[:1].lower()}{text[1:]}" if key else "the body must be a JSON object", key=key)


def _on_detector(_request: Request, error: Exception) -> Response:
    if isinstance(error, ConfigError):
        return fault(422, str(error), key=error.key)
    if isinstance(error, StaleConfigError):
        return fault(412, str(error))
    if isinstance(error, WrongCodeError):
        return fault(403, str(error), key="code")
    _log.warning("a request failed: %s", error)
    return fault(503, str(error))


def install(app: FastAPI) -> None:
    """Make every fault that a route raises an answer of this shape."""
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(DetectorError, _on_detector)
