"""Topic filters of MQTT: section 4.7 of version 3.1.1."""

from __future__ import annotations


def is_valid(pattern: str) -> bool:
    """`#` only as the last level, `+` only as a whole one."""
    levels = pattern.split("/")
    if not pattern or any("#" in level for level in levels[:-1]):
        return False
    return all(level in ("+", "#") or not ("+" in level or "#" in level) for level in levels)


def matches(pattern: str, topic: str) -> bool:
    """Whether a valid `pattern` takes `topic`; wildcards do not reach topics that begin with `$`."""
    if pattern == topic:
        return True
    if not pattern.endswith(("#", "+")) and "+/" not in pattern:
        return False
    wanted, levels = pattern.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    if wanted[-1] == "#":
        wanted.pop()
        levels = levels[: len(wanted)]  # "a/#" takes "a" itself, too
    return len(wanted) == len(levels) and all(w in ("+", level) for w, level in zip(wanted, levels, strict=True))
