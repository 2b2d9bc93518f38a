from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.cli.init import starter
from detector.config.edit import updated
from detector.config.yaml_text import parse

ANCHORED = """\
# shared by all
x-common: &common
  detect_fps: 5       # a second
  zones: &zones
    yard: [[0, 0], [1, 0], [1, 1]]

cameras:
  # the first
  on:
    <<: *common
    source: "rtsp://10.0.0.4/1"   # quoted
  # the second
  1:
    source: 'usb://0'
    zones: *zones
# the end
"""


def edited(text: str, change: Any) -> tuple[str, bool, dict[str, Any]]:
    document = copy.deepcopy(dict(parse(text)))
    change(document)
    out, whole = updated(text, document)
    assert parse(out) == document
    return out, whole, document


def comments(text: str) -> list[str]:
    return re.findall(r"#.*", text)


def test_c6_all_comments_of_the_starter_file_stay() -> None:
    def change(document: dict[str, Any]) -> None:
        document["cameras"]["porch"]["source"] = "rtsp://10.0.0.9/1"
        document["cameras"]["porch"]["alert"]["zones"] = []
        document["cameras"]["shed"] = {"source": "usb://0", "zones": {"a": [[0, 0], [1, 0], [1, 1]]}}
        document["mqtt"]["username"] = "ha"
        document["device"]["name"] = "on: # no"

    out, whole, _ = edited(starter(), change)
    assert whole
    assert len(comments(starter())) >= 28
    assert set(comments(starter())) <= set(comments(out))


def test_c6_anchors_quotes_and_order_stay() -> None:
    out, whole, _ = edited(ANCHORED, lambda d: d["cameras"]["1"].update(detect_fps=7))
    assert whole
    added = [line for line in out.splitlines() if line not in ANCHORED.splitlines()]
    assert added == ["    detect_fps: 7"]
    assert [line for line in ANCHORED.splitlines() if line not in out.splitlines()] == []


def test_a_comment_behind_an_anchor_stays() -> None:
    out, whole, _ = edited("a: &a   # mine\n  b: 1\nc: *a\nd: 1\n", lambda d: d.update(d=2))
    assert whole
    assert "# mine" in out
    assert "&a" in out


def test_what_an_alias_shares_is_changed_in_one_place_alone() -> None:
    out, _, document = edited(ANCHORED, lambda d: d["cameras"]["1"]["zones"].update(yard=[[0, 0], [1, 0], [0, 1]]))
    assert document["x-common"]["zones"]["yard"] == [[0, 0], [1, 0], [1, 1]]
    assert "&common" in out
    assert "# the second" in out


def test_a_removed_key_takes_its_own_lines_and_no_others() -> None:
    def change(document: dict[str, Any]) -> None:
        del document["alarm"], document["api"]["host"], document["cameras"]["porch"]["alert"]
        del document["device"]

    out, whole, _ = edited(starter(), change)
    assert whole
    gone = {line for line in starter().splitlines() if line not in out.splitlines()}
    assert all("# embedded: a broker" not in line and "# token:" not in line for line in gone)
    assert "alarm:" not in out


def test_what_is_no_mapping_is_written_whole_and_said() -> None:
    assert updated("# mine\n- a\n", {"a": 1}) == ("a: 1\n", False)
    assert updated("- a\n", {"a": 1}) == ("a: 1\n", True)


@pytest.mark.parametrize("text", ["a:\n    - 1\n    - 2\nb:\n    c: 3\n", "a:\n- 1\n- 2\nb:\n  c: 3\n"])
def test_the_files_own_indentation_stays(text: str) -> None:
    out, _, _ = edited(text, lambda d: d["b"].update(c=4))
    assert out == text.replace("c: 3", "c: 4")


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(("on", "x y", "007", "# c", "rtsp://h/1"))
)
NAMES = st.sampled_from(("porch", "on", "1", "source", "zones", "a", "b"))
TREES = st.dictionaries(
    NAMES,
    st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
    ),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(TREES, st.sampled_from((starter(), ANCHORED)))
def test_any_change_of_any_text_says_what_it_should(document: dict[str, Any], text: str) -> None:
    out, _ = updated(text, document)
    assert parse(out) == document
    mixed = {**copy.deepcopy(dict(parse(text))), **document}
    out, _ = updated(text, mixed)
    assert parse(out) == mixed


def test_an_anchor_that_is_given_again_means_what_it_meant() -> None:
    """The latest of that name holds (YAML 1.2.2, 7.1); the reader warned of it on standard error."""
    text = "a: &x {k: 1}\nb: *x\nc: &x {k: 2}\nd: *x\ne: 1\n"
    assert parse(text) == {"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 2}, "d": {"k": 2}, "e": 1}
    edited(text, lambda document: document.__setitem__("e", 2))
