from __future__ import annotations

import pytest

from detector.api.control import Control, Health, Ready
from detector.api.documents import Status
from detector.core.errors import ModelError
from detector.core.redact import redact
from support.api import TOKEN, RunningApi, StartApi


def test_health_names_the_stage_that_stands_still(window: StartApi) -> None:
    opened = window()
    assert opened.client.get("/healthz").json() == {"ok": True, "stage": None, "detail": ""}
    assert opened.client.head("/healthz").status_code == 200
    opened.control.healthy = Health(False, "inference", "no progress for 12 s")
    answer = opened.client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["stage"] == "inference"


def test_ready_says_what_is_missing(window: StartApi) -> None:
    opened = window()
    assert opened.client.get("/readyz").status_code == 200
    opened.control.readiness = Ready(False, ("porch: no frame yet",))
    answer = opened.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ok": False, "reasons": ["porch: no frame yet"]}


def test_version_and_status_are_the_services_own_words(free: RunningApi) -> None:
    control: Control = free.control
    assert free.client.get("/api/version").json() == control.version()
    answer = free.client.get("/api/status")
    assert answer.json() == control.status()
    assert answer.headers["content-type"] == "application/json"


def test_the_status_is_what_the_documentation_says(free: RunningApi) -> None:
    status = Status.model_validate(free.client.get("/api/status").json())
    assert not status.model_extra
    assert not status.cameras["porch"].model_extra


def test_a_figure_that_is_no_number_is_null_and_hides_nothing(window: StartApi) -> None:
    opened = window()
    opened.control.cameras["porch"]["fps"] = float("nan")
    opened.control.cameras["porch"]["latency_ms"] = {"p50": float("inf"), "p99": 2.0}
    porch = opened.client.get("/api/status").json()["cameras"]["porch"]
    assert porch["fps"] is None
    assert porch["latency_ms"] == {"p50": None, "p99": 2.0}


def test_a_known_failure_is_one_line_without_secrets(window: StartApi) -> None:
    opened = window()
    opened.control.failure = ModelError("cannot fetch http://u:hunter2@host/model.onnx")
    for answer in (opened.client.get("/api/status"), opened.client.post("/api/alarm", json={"command": "DISARM"})):
        assert answer.status_code == 503
        assert answer.json()["error"] == "cannot fetch http://***@host/model.onnx"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nope", 404), ("POST", "/api/status", 405)])
def test_wrong_addresses_answer_in_json(free: RunningApi, method: str, path: str, status: int) -> None:
    answer = free.client.request(method, path, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert "/docs" in answer.json()["error"]


def test_without_the_token_health_and_readiness_name_the_stage_and_nothing_more(window: StartApi) -> None:
    opened = window(token=TOKEN)
    opened.control.healthy = Health(False, "camera-porch", "failing: rtsp://cam:12/34@10.0.0.4/1")
    opened.control.readiness = Ready(False, ("camera porch has given no frame yet: refused",), ("camera-porch",))
    assert opened.client.get("/healthz").json() == {"ok": False, "stage": "camera-porch", "detail": ""}
    assert opened.client.get("/readyz").json() == {"ok": False, "reasons": ["camera-porch"]}
    wrong = {"Authorization": "Bearer wrong-token"}
    assert opened.client.get("/readyz", headers=wrong).json() == {"ok": False, "reasons": ["camera-porch"]}
    right = {"Authorization": f"Bearer {TOKEN}"}
    detail = opened.client.get("/healthz", headers=right).json()["detail"]
    assert detail.startswith("failing: rtsp://***@10.0.0.4/1")
    assert "refused" in opened.client.get("/readyz", headers=right).json()["reasons"][0]


def test_every_answer_is_masked(window: StartApi) -> None:
    opened = window()
    redact.learn("per/haps secret")
    opened.control.cameras["porch"]["error"] = "it is per/haps secret"
    opened.control.overrides["problems"] = ["camera porch: per%2Fhaps%20secret"]
    for path in ("/api/status", "/metrics"):
        assert "haps" not in opened.client.get(path).text
