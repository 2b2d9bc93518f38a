from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.config.yaml_text import MAX_VALUES, dump, parse
from detector.core.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"), ("y", "y"), ("22:22", "22:22"), ("1_000", "1_000"),
        ("2024-01-02", "2024-01-02"), ("2024-13-45", "2024-13-45"), ("2024-01-02 10:00:00", "2024-01-02 10:00:00"),
        ("true", True), ("False", False), ("~", None), ("", None), ("null", None), ("Null", None),
        ("0123", 123), ("0o17", 15), ("0x1F", 31), ("-5", -5), ("1e3", 1000.0), (".5", 0.5), ("1.", 1.0), ("-.inf", -math.inf),
        ('"12"', "12"), ("'on'", "on"), ("!!str 12", "12"), ("1.2.3", "1.2.3"), ("=", "="),
    ],
)  # fmt: skip
def test_c1_scalars_are_read_as_yaml_1_2_says(written: str, value: Any) -> None:
    assert parse(f"a: {written}\n") == {"a": value}
    assert type(parse(f"a: {written}\n")["a"]) is type(value)


@pytest.mark.parametrize("key", ["on", "no", "1", "007", "true", "2024-01-02", "1.5", "null"])
def test_c1_keys_are_text_as_written(key: str) -> None:
    assert parse(f"{key}: 1\n") == {key: 1}


def test_merged_keys_and_anchors() -> None:
    text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz:\n  <<: [*x, *y]\n  c: 5\n"
    assert parse(text)["z"] == {"a": 1, "b": 2, "c": 5}


def test_every_value_has_its_line() -> None:
    marks = parse("a:\n  b: 007\n  c: [1,\n      x]\n").marks
    assert (marks["a", "b"].line, marks["a", "b"].written) == (2, "007")
    assert (marks["a", "c", 1].line, marks["a", "c", 1].written) == (4, None)


@pytest.mark.parametrize(
    "text",
    [
        "a: *secret9", "a: !secret9 x", "a: !secret9", "a: %secret9", "a: @secret9", "a: `secret9", "a: b: secret9",
        "a: 'secret9", "a: [secret9", "a: {secret9: ", "? [secret9]\n: b", "a: !!int secret9", "a: !!set {secret9}",
        "a: !!python/object/apply:os.system [secret9]", "a: \x00secret9", "- secret9", "a: &a [*a]",
        "a: !!map secret9", "a: !!binary secret9", "<<: secret9", "a: secret9\n b: c", "a: {b: [secret9}",
    ],
)  # fmt: skip
def test_what_is_no_yaml_is_one_line_without_the_text(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert "secret9" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: {b: ${NAME:-7}}", r"line 1, column \d+: in \{ \} and \[ \] a value that holds .* must be put in quotes"),
        ("a: {b: rtsp://u:p[1]@h/s}", r"line 1, .* must be put in quotes"),
        ("a:\n  b: secret9: x", r"line 2, .*a value that holds a colon and a blank must be put in quotes"),
        ("a:\n\tb: 1", r"line 2, .*a tab may not indent: use blanks"),
        ("a: 1\n---\na: 2\n", r"line 2, .*only one document is read: remove this ---"),
    ],
)
def test_c1_what_yaml_cannot_read_says_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        parse(text)
    assert "secret9" not in str(caught.value)


def test_a_few_bytes_cannot_become_billions_of_values() -> None:
    lines = ["a: &a [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"{c}: &{c} [{','.join([f'*{chr(ord(c) - 1)}'] * 10)}]" for c in "bcdefghij"]
    with pytest.raises(ConfigError, match="too many"):
        parse("\n".join(lines))
    with pytest.raises(ConfigError, match="too many"):
        parse("a: [" + "1," * MAX_VALUES + "]")


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
    st.sampled_from(("on", "007", "1e3", "null", "~", "<<", "# x", "a: b", "- a", "2024-01-02", "0x1", "*a", "!b", "%c")),
)  # fmt: skip
DOCUMENTS = st.dictionaries(
    st.from_regex("[a-z0-9_-]{1,8}", fullmatch=True),
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex("[a-z]{1,4}", fullmatch=True), inner, max_size=3), max_leaves=8),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(deadline=None)  # the machine may be busy
@given(DOCUMENTS)
def test_what_is_dumped_is_read_back(document: dict[str, Any]) -> None:
    assert parse(dump(document)) == document
