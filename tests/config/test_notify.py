"""The `notify` section: what is taken, what is refused in one line, what of it never shows."""

from __future__ import annotations

from typing import Any

import pytest

from detector.config import document as config_file
from detector.config import remote
from detector.config.notify_secrets import secrets_of
from detector.config.template import FIELDS, render
from detector.core.errors import ConfigError
from detector.core.redact import redact

HOOK = {"name": "p", "webhook": "https://h.example/x", "secret": "sixteen-characters!"}


def validate(*targets: dict[str, Any]) -> Any:
    return config_file.validate({"cameras": {"porch": {"source": "rtsp://10.0.0.4/x"}}, "notify": list(targets)})


def test_every_field_is_filled_in_and_braces_in_values_are_text() -> None:
    text = " ".join(f"{{{name}}}" for name in FIELDS)
    assert render(text, {name: f"<{name}>" for name in FIELDS}) == " ".join(f"<{name}>" for name in FIELDS)
    assert render("{camera}", {"camera": "{device.__class__}"}) == "{device.__class__}"
    assert render("none: {clip_url}", {}) == "none: "
    assert validate({**HOOK, "text": "{camera} {time}"}).notify[0].text == "{camera} {time}"


@pytest.mark.parametrize(
    "attack",
    [
        "{camera.__class__.__mro__}", "{camera[0]}", "{0}", "{}", "{camera!r}", "{camera:>999999999}", "{camera:{device}}",
        "{self}", "{__import__}", "{camera", "camera}", "{camera.__init__.__globals__[SECRET]}", "{ camera }", "{CAMERA}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["title", "text"])
def test_what_str_format_would_do_is_refused_at_load(key: str, attack: str) -> None:
    with pytest.raises(ConfigError, match=r"^notify\.0"):
        validate({**HOOK, key: attack})


def test_a_misspelt_field_is_named() -> None:
    with pytest.raises(ConfigError, match=r"did you mean camera\?"):
        validate({**HOOK, "text": "{camra}"})


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ({"name": "p"}, "give url"),
        ({**HOOK, "url": "ntfy://x/y"}, "give url"),
        ({"name": "p", "webhook": "https://h.example/x"}, "needs secret"),
        ({**HOOK, "secret": "short"}, "too short"),
        ({"name": "p", "url": "ntfy://h/x", "secret": "sixteen-characters!"}, "secret is for a webhook"),
        ({"name": "p", "url": "just words"}, "Apprise URL"),
        ({**HOOK, "webhook": "ftp://h/x"}, "write http"),
        ({**HOOK, "webhook": "https://user:pw@h/x"}, "without a user"),
        ({**HOOK, "webhook": "https://h:99999/x"}, "write http"),
        ({**HOOK, "webhook": "https://h/x#y"}, "write http"),
        ({**HOOK, "webhook": "https://"}, "write http"),
        ({**HOOK, "cameras": ["door"]}, "there are porch"),
        ({**HOOK, "min_score": 2}, "min_score"),
        ({**HOOK, "keep_h": 0}, "keep_h"),
        ({**HOOK, "name": "No Name"}, "name"),
        ({**HOOK, "mim_score": 0.5}, "min_score"),
    ],
)
def test_bad_targets_are_one_line_without_their_secrets(target: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line) as raised:
        validate(target)
    assert "\n" not in str(raised.value)
    for secret in ("sixteen-characters!", "user:pw"):
        assert secret not in str(raised.value)


def test_two_targets_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two targets are named p"):
        validate(HOOK, HOOK)


@pytest.mark.parametrize(
    ("url", "secrets", "public"),
    [
        ("tgram://123456789:abcdefg_hijklmnopq/lead2gold", ["123456789:abcdefg_hijklmnopq", "abcdefg_hijklmnopq"], []),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", ["JHMHI8qBe7bk2ZwO5U711o3dV_js"], []),
        ("mailto://alice:pa%20ss@smtp.example.org?to=bob@example.org", ["pa%20ss", "pa ss"], ["smtp.example.org"]),
        ("ntfys://tk_abc123def456@ntfy.example.org/yard", ["tk_abc123def456"], ["ntfy.example.org"]),
        ("json://me:hunter2secret@127.0.0.1:8080/alerts", ["hunter2secret"], ["127.0.0.1", "8080"]),
        ("https://h.example/hooks/T0K3N9?key=s3cret-key", ["T0K3N9", "s3cret-key"], ["h.example", "hooks"]),
    ],
)
def test_tokens_are_learnt_wherever_they_stand_and_hosts_are_not(
    url: str, secrets: list[str], public: list[str]
) -> None:
    found = secrets_of(url)
    for secret in [url, *secrets]:
        assert any(secret in one for one in found), secret
    for text in public:
        assert text not in found
    validate({"name": "x", "url": url})
    for secret in secrets:
        assert secret not in redact(f"it said {secret} there")


def test_addresses_are_masked_and_come_back() -> None:
    document = {
        "cameras": {"porch": {"source": "rtsp://10.0.0.4/x"}},
        "notify": [{"name": "a", "url": "ntfy://h/one-secret-topic"}, HOOK, {"name": "v", "url": "${PHONE}"}],
    }
    shown = config_file.masked(document)
    assert [one.get("url") or one.get("webhook") for one in shown["notify"]] == ["***", "***", "${PHONE}"]
    assert shown["notify"][1]["secret"] == "***"
    assert remote.accepted(shown, document)["notify"] == document["notify"]


@pytest.mark.parametrize("change", ["remove", "add", "reorder", "redirect"])
def test_over_http_nobody_changes_who_is_told(change: str) -> None:
    document: dict[str, Any] = {
        "cameras": {"porch": {"source": "rtsp://10.0.0.4/x"}},
        "notify": [{"name": "a", "url": "ntfy://h/one-secret-topic"}, HOOK],
    }
    sent = config_file.masked(document)
    if change == "remove":
        del sent["notify"]
    elif change == "add":
        sent["notify"].append({"name": "c", "url": "json://127.0.0.1:9/x"})
    elif change == "reorder":
        sent["notify"].reverse()
    else:
        sent["notify"][1]["webhook"] = "https://evil.example/"
    with pytest.raises(ConfigError, match="not over HTTP"):
        remote.accepted(sent, document)
