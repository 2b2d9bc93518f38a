from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from detector.api.control import Document
from support.api import RunningApi

ROUTES = {
    "GET /healthz", "GET /readyz", "GET /metrics", "GET /api/version", "GET /api/status", "GET /api/config",
    "PUT /api/config", "GET /api/config/schema", "GET /api/events", "GET /api/events/{event_id}",
    "GET /api/events/{event_id}/snapshot.jpg", "GET /api/events/{event_id}/clip.mp4", "GET /api/cameras/{camera}/latest.jpg",
    "GET /api/cameras/{camera}/stream.mjpg", "POST /api/cameras/{camera}/detect", "POST /api/alarm", "GET /api/alarm/audit",
    "POST /api/events/{event_id}/suppress", "GET /api/suppressions", "DELETE /api/suppressions/{suppression_id}",
    "GET /api/figures", "GET /api/events/export.zip", "DELETE /api/events/{event_id}", "GET /api/cameras/{camera}/scene",
    "POST /api/cameras/{camera}/zones/preview",
    "GET /api/suppressions/{suppression_id}/snapshot.jpg", "GET /api/session", "POST /api/session", "DELETE /api/session",
}  # fmt: skip
FRIGATE = {
    f"GET /frigate/api/{path}"
    for path in (
        "version", "config", "stats", "events", "events/summary", "events/{event_id}", "events/{event_id}/snapshot.jpg",
        "events/{event_id}/thumbnail.jpg", "events/{event_id}/clip.mp4", "{camera}/latest.jpg", "{camera}/ptz/info",
        "{camera}/recordings", "{camera}/recordings/summary",
    )
} | {"POST /frigate/api/login"}  # fmt: skip


@pytest.fixture(scope="module")
def document(locked: RunningApi) -> Document:
    answer = locked.client.get("/openapi.json", headers={"X-API-Key": "correct-horse"})
    assert answer.status_code == 200
    found: Document = answer.json()
    return found


def operations(document: Document) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    if isinstance(node, list):
        for child in node:
            yield from references(child)


def test_it_lists_every_route(document: Document) -> None:
    assert {name for name, _ in operations(document)} == ROUTES | FRIGATE


def test_every_operation_is_explained(document: Document) -> None:
    seen = set()
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["tags"], name
        assert any(status.startswith("2") for status in operation["responses"]), name
        seen.add(operation["operationId"])
        placeholders = set(re.findall(r"{(\w+)}", name))
        assert {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"} == placeholders
    assert len(seen) == len(ROUTES | FRIGATE)


def test_every_reference_leads_somewhere_and_every_schema_is_one(document: Document) -> None:
    assert document["openapi"].startswith("3.1")
    for reference in set(references(document)):
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_it_says_how_to_send_the_token(document: Document) -> None:
    assert {tuple(way) for way in document["security"]} <= {
        (name,) for name in document["components"]["securitySchemes"]
    }
    free = {name for name, operation in operations(document) if operation.get("security") == []}
    open_paths = ("/healthz", "/readyz", "/api/session", "/frigate/api/login")
    assert free == {name for name in ROUTES | FRIGATE if name.split()[1] in open_paths}


@pytest.mark.parametrize(
    "name", sorted(n for n in ROUTES if n.startswith("GET") and not n.endswith(("jpg", "mp4", "zip", "metrics")))
)
def test_what_is_answered_is_what_is_documented(document: Document, locked: RunningApi, name: str) -> None:
    path = name.split()[1].replace("{event_id}", locked.control.history[0]["id"])
    if "{" in path:
        return
    answer = locked.client.get(path, headers={"X-API-Key": "correct-horse"})
    schema = document["paths"][name.split()[1]]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json())


def test_faults_have_the_documented_shape(document: Document, locked: RunningApi) -> None:
    fault = {"$ref": "#/components/schemas/Fault", "components": document["components"]}
    answer = locked.client.get("/api/events?limit=0", headers={"X-API-Key": "correct-horse"})
    jsonschema.Draft202012Validator(fault).validate(answer.json())
    assert "HTTPValidationError" not in str(document), "FastAPI's own 422 is not what is sent"
