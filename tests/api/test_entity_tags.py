from __future__ import annotations

import pytest

from detector.api.entity_tags import entity_tags


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ('"a"', ['"a"']),
        ('W/"a"', ['"a"']),
        ('"a-gzip" , W/"b-br"', ['"a"', '"b"']),
        ("*", ["*"]),
        ('"a-gzipped"', ['"a-gzipped"']),
        ("", [""]),
    ],
)
def test_each_tag_is_as_it_was_given(header: str, tags: list[str]) -> None:
    assert entity_tags(header) == tags
