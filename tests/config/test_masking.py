from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from detector.api.respond import document as answer
from detector.api.respond import fault
from detector.config import document as configfile
from detector.core.errors import ConfigError, SourceError
from detector.core.redact import RedactingFilter, redact

ODD = "/?#@:%&=+ '\"<>\\{}`|^~;,!*()[]\t\r\n"
PASSWORDS = st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"])), min_size=4, max_size=40)


def config(password: str, url: str) -> dict[str, Any]:
    return {
        "device": {"id": "front", "name": f"Yard {password}"[:64]},
        "cameras": {
            "porch": {"source": url},
            "shed": {"source": f"http://10.0.0.5/video?user=cam&pwd={quote(password, safe='')}"},
            "barn": {"source": f'gst:rtspsrc location=rtsp://10.0.0.6/1 user-id=cam user-pw="{quote(password)}" ! x'},
        },
        "mqtt": {"broker": "mqtt://10.0.0.7", "username": "ha", "password": password},
        "api": {"token": f"token-{password}"},
    }


def contains(password: str, text: str) -> bool:
    plain = " ".join(password.split())
    forms = (plain, quote(password, safe=""), quote(password), json.dumps(password)[1:-1])
    return any(form in " ".join(text.split()) for form in forms)


@settings(deadline=None)  # the machine may be busy
@given(PASSWORDS, st.booleans())
def test_no_password_gets_out_of_the_configuration(password: str, raw: bool) -> None:
    assume(len(password.strip()) >= 4)
    url = f"rtsp://cam:{password if raw else quote(password, safe='')}@10.0.0.4:554/1"
    document = config(password, url)
    harmless = json.dumps(configfile.masked(config("***", "rtsp://***@10.0.0.4:554/1")))
    assume(
        not contains(password, harmless + "rtsp://***@10.0.0.4:554/1 cannot open 'cameras.porch.source': looks like")
    )
    said = ""
    try:
        configfile.validate(document, {})
    except ConfigError as error:
        said = str(error)
        assume("variable" not in said)  # refused before it was read: what looks like one is tested elsewhere
    shown = configfile.masked(document)
    record = logging.LogRecord("x", logging.INFO, "", 0, "cannot open %s: %r", (url, password), None)
    RedactingFilter().filter(record)
    for text in (
        json.dumps(shown["cameras"]) + json.dumps(shown["mqtt"]) + json.dumps(shown["api"]),
        json.dumps(shown["device"]["name"]),
        bytes(answer(document).body).decode(),
        bytes(fault(503, str(SourceError(f"{url}: no answer"))).body).decode(),
        record.getMessage(),
        json.dumps(redact.document({"problems": [f"camera porch: {url}"], "error": password})),
    ):
        assert not contains(password, text)
    assert not contains(password, said)
    assert "10.0.0.4" in shown["cameras"]["porch"]["source"]


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("password", "literal", "***"),
        ("password", "${PW}", "${PW}"),
        ("password", "x${PW}", "***"),
        ("token", "${PW:-fallback}", "${PW:-***}"),
        ("source", "${URL}", "${URL}"),
        ("source", "rtsp://u:${PW}@h/1", "rtsp://***@h/1"),
        ("source", "${URL:-rtsp://u:p@h/1}", "${URL:-rtsp://***@h/1}"),
        ("record_source", "rtsp://u:p#w@h/1", "rtsp://***@h/1"),
        ("server", "http://u:p@h/v2?token=abc", "http://***@h/v2?token=***"),
        ("password_file", "/run/secrets/pw", "/run/secrets/pw"),
        ("name", "Front yard", "Front yard"),
        ("port", 8080, 8080),
        ("password", None, None),
    ],
)
def test_each_kind_of_value_is_masked_in_its_way(key: str, value: Any, shown: Any) -> None:
    assert configfile.masked({"x": {key: value}}) == {"x": {key: shown}}


def test_a_secret_that_is_also_an_identifier_survives_the_round_trip() -> None:
    document = {
        "cameras": {"garden": {"source": "rtsp://cam:garden@10.0.0.4/1", "zones": {"garden": [[0, 0], [1, 0], [1, 1]]},
                               "alert": {"zones": ["garden"]}}},
        "device": {"id": "garden", "name": "The garden"},
    }  # fmt: skip
    configfile.validate(document, {})
    shown = configfile.masked(document)
    assert shown["cameras"]["garden"]["alert"] == {"zones": ["garden"]}
    assert shown["device"] == {"id": "garden", "name": "The ***"}
    assert configfile.unmasked(shown, document) == document
