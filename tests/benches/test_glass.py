from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest

from bench.drawn import numbered
from bench.glass import _latency_ms
from bench.page import distribution, page
from bench.subjects import Arrival, Inbox, Naive, Service


def jpeg(number: int) -> bytes:
    _, data = cv2.imencode(".jpg", numbered(np.full((240, 640, 3), 90, np.uint8), number))
    return bytes(data)


def test_an_alert_is_of_the_picture_published_before_it() -> None:
    box = Inbox(
        messages=[
            (1.0, "detector/alerts", b"{}"),  # its picture came before we listened
            (2.0, "detector/cam/person/snapshot", jpeg(41)),
            (2.1, "detector/alerts", b"{}"),
            (3.0, "detector/cam/person/snapshot", jpeg(1234)),
            (3.1, "detector/events", b"{}"),
            (3.2, "detector/alerts", b"{}"),
        ]
    )
    found = list(Service("a", "model").arrivals(box))
    assert found == [Arrival(mono=2.1, number=41), Arrival(mono=3.2, number=1234)]


def test_a_plain_loop_says_its_number_in_each_message() -> None:
    naive = Naive("plain", "ort", "model")
    box = Inbox(messages=[(1.0, "naive/frame", b'{"number": 7, "persons": 0}'), (2.0, "other", b"")])
    assert list(naive.arrivals(box)) == [Arrival(mono=1.0, number=7)]
    assert naive.done(box) == 1


def test_latency_counts_from_the_last_release_of_that_picture() -> None:
    released = [(5, 10.0), (6, 10.1), (5, 12.0), (6, 12.1)]
    assert _latency_ms(Arrival(mono=12.05, number=5), released) == pytest.approx(50.0)
    assert _latency_ms(Arrival(mono=11.0, number=6), released) == pytest.approx(900.0)
    assert _latency_ms(Arrival(mono=9.0, number=6), released) is None


def test_the_plot_is_svg_with_a_line_for_each_series_and_b() -> None:
    root = ET.fromstring(distribution({"a <b>": [30.0, 40.0, 55.0], "c": [900.0]}, unit=50.0))
    lines = [element for element in root if element.tag == "polyline"]
    assert len(lines) == 2
    assert len(lines[0].attrib["points"].split()) == 3
    texts = [element.text for element in root if element.tag == "text"]
    assert {"a <b>", "c", "B"} <= set(texts)
    for line in lines:
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 720
            assert 0 <= y <= 300


def test_the_page_names_every_subject_and_what_was_left_out() -> None:
    keys = (
        *("p50_ms", "p50_over_b", "p99_ms", "p99_over_b", "cpu_ms_per_frame", "cpu_over_b", "startup_s"),
        *("rss_mib", "peak_mib", "done", "released", "messages"),
    )
    one: dict[str, Any] = dict.fromkeys(keys, 1) | {"latencies_ms": [10.0, 20.0]}
    rate = {"fps": 10, "b": {"run_ms": 50.0}, "subjects": {"the <service>": one}}
    text = page({"load_average": 0.5, "left_out": {"another": "not installed"}, "rates": [rate]})
    assert "the &lt;service&gt;" in text
    assert "another: left out, not installed" in text
    assert text.count("<svg") == 1
