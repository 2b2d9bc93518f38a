"""The entity tags of If-Match and If-None-Match, as they come back through proxies."""

from __future__ import annotations

import re

# A proxy that compresses marks the tag as weak (RFC 9110, section 8.8.1) or adds its method to it (Apache, "-gzip").
_METHOD = re.compile(r'-(?:gzip|br|deflate|zstd)"$')


def entity_tags(header: str) -> list[str]:
    """Each tag in `header` as this program gave it: `"a", W/"b-gzip"` is `"a"` and `"b"`; `*` stays."""
    tags = (tag.strip().removeprefix("W/") for tag in header.split(","))
    return [_METHOD.sub('"', tag) for tag in tags]
