"""The Grafana dashboard, the alert rules and the list of metrics: loaded, and compared with what the service exposes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from detector.api.metrics import exposition
from detector.core.histogram import LATENCY_BUCKETS_S
from detector.service.latencies import ALERT_STAGES, FRAME_STAGES
from support.control import MemoryControl, camera_status
from support.promtool import promtool

DOCS = Path(__file__).resolve().parents[2] / "docs"
RULES = DOCS / "prometheus-alerts.yaml"


@pytest.fixture(scope="module")
def exposed() -> dict[str, tuple[str, set[str]]]:
    """Every sample's name with its family's type and its labels, of a service of which all is known."""
    control = MemoryControl("porch")
    control.measured.frame(captured_mono=10.0, begun_mono=10.06, done_mono=10.062, infer_s=0.04)
    counts = dict.fromkeys(("close_ups", "decoded", "decode_skipped", "damaged"), 1)
    control.cameras["porch"] = camera_status(keyframes_only=False, **counts)
    system = {"temperature_c": 1.0, "power_w": 1.0, "throttled": False, "rss_mb": 1.0, "cpu_percent": 1.0}
    outbox = {"pending_alerts": 0, "pending_events": 0, "oldest_s": 1.0}
    control.overrides = {"slo": {"goal_ms": 500.0, "alerts": 1, "share": 1.0}, "outbox": outbox, "system": system}
    control.overrides["governor"] = {"level": 1, "detect_share": 0.7, "cost": 0.7, "changes": 1}
    text = exposition(control.status(), latencies=control.latencies()).decode()
    return {
        sample.name: (family.type, set(sample.labels))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DOCS / "grafana-dashboard.json").read_text(encoding="utf-8"))
    return document


def expressions() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("expression", [*expressions(), *(rule["expr"] for rule in rules())])
def test_each_expression_names_metrics_that_there_are(
    expression: str, exposed: dict[str, tuple[str, set[str]]]
) -> None:
    names = re.findall(r"\bdetector_\w+", expression)
    assert names or expression.startswith("up{")
    assert set(names) <= set(exposed)
    for name in re.findall(r"(?:rate|increase)\((detector_\w+)", expression):
        assert exposed[name][0] in ("counter", "histogram"), f"{name} does not only rise"
    for grouped in re.findall(r"by \(([^)]*)\)", expression):
        labels = set().union(*(exposed[name][1] for name in names))
        assert {label.strip() for label in grouped.split(",")} <= labels


def test_legends_and_texts_name_labels_that_there_are(exposed: dict[str, tuple[str, set[str]]]) -> None:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            labels = set().union(*(exposed[name][1] for name in re.findall(r"\bdetector_\w+", target["expr"])))
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels | {"instance"}
    for rule in rules():
        labels = set().union({"instance"}, *(exposed[n][1] for n in re.findall(r"\bdetector_\w+", rule["expr"])))
        for text in rule["annotations"].values():
            assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels


def test_the_dashboards_panels_have_a_place_each() -> None:
    taken: set[tuple[int, int]] = set()
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}", "no data source of one installation is named"
        assert panel["targets"]


def test_prometheus_takes_the_rules() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", RULES)


def test_prometheus_takes_the_dashboards_expressions(tmp_path: Path) -> None:
    plain = [expression.replace("$__rate_interval", "5m").replace("$instance", ".*") for expression in expressions()]
    records = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(plain)]
    path = tmp_path / "dashboard.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": records}]}), encoding="utf-8")
    assert f"{len(plain)} rules found" in promtool("check", "rules", path)


SERIES = {
    "DetectorGone": {'up{job="detector", instance="a"}': "0x20"},
    "DetectorDegraded": {'detector_up{instance="a"}': "0x20"},
    "DetectorModelFailed": {'detector_model_up{instance="a"}': "0x20"},
    "DetectorStageStuck": {'detector_stage_up{instance="a", stage="inference"}': "0x20"},
    "DetectorCameraDown": {
        'detector_camera_up{instance="a", camera="porch"}': "0x20",
        'detector_camera_detect_enabled{instance="a", camera="porch"}': "1x20",
        'detector_camera_up{instance="a", camera="off"}': "0x20",
    },
    "DetectorBrokerLost": {'detector_mqtt_connected{instance="a"}': "0x20"},
    "DetectorAlertsWaiting": {
        'detector_outbox_pending_alerts{instance="a"}': "3x20",
        'detector_outbox_oldest_seconds{instance="a"}': "90x20",
    },
    "DetectorAlertsSlow": {
        'detector_slo_alerts_within_goal_ratio{instance="a"}': "0.5x20",
        'detector_slo_alerts{instance="a"}': "12x20",
    },
    "DetectorThrottled": {'detector_throttled{instance="a"}': "1x20"},
    "DetectorTokenGuessed": {'detector_api_wrong_tokens_total{instance="a"}': "0+10x20"},
}


def test_each_rule_fires_on_its_fault_and_on_no_other(tmp_path: Path) -> None:
    assert set(SERIES) == {rule["alert"] for rule in rules()}
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in given.items()],
            "promql_expr_test": [
                {
                    "expr": f'count by (alertname, instance) (ALERTS{{alertstate="firing", alertname=~"{other}"}})',
                    "eval_time": "15m",
                    "exp_samples": [{"labels": f'{{alertname="{other}", instance="a"}}', "value": 1}]
                    if other == name
                    else [],
                }
                for other in SERIES
            ],
        }
        for name, given in SERIES.items()
    ]
    path = tmp_path / "tests.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": tests}), encoding="utf-8")
    promtool("test", "rules", path)


def test_the_documents_name_every_metric_bucket_and_stage(exposed: dict[str, tuple[str, set[str]]]) -> None:
    text = (DOCS / "monitoring.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(detector_\w+)` \| (?:gauge|counter|summary|histogram) ", text, re.MULTILINE))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exposed}
    assert listed == families
    assert all(f"`{stage}`" in text for stage in (*FRAME_STAGES, *ALERT_STAGES))
    bounds = re.search(r"upper bounds are (.+?) ms, (.+?) s\.", text)
    assert bounds is not None
    in_s = [float(ms) / 1e3 for ms in bounds[1].split(", ")] + [float(s.rstrip(" s")) for s in bounds[2].split(", ")]
    assert tuple(in_s) == LATENCY_BUCKETS_S
