"""A release's notes, as Markdown, from CHANGELOG.md: release_notes.py [VERSION]; without one, what is unreleased."""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).resolve().parents[1] / "CHANGELOG.md"
UNRELEASED = "Unreleased"


def notes(text: str, version: str) -> str:
    """The section of `version`, its headings one level up; raises ValueError where there is none."""
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    found = {re.split(r"[\[\]\s]+", section.strip("[ "))[0]: section for section in sections}
    if version not in found:
        raise ValueError(f"CHANGELOG.md has no section {version}; it has: {', '.join(found)}")
    heading, _, body = found[version].partition("\n")
    title = heading.replace("[", "").replace("]", "").strip()
    return f"# {title}\n\n{re.sub(r'^##(?=#* )', '#', body, flags=re.MULTILINE).strip()}\n"


def main(arguments: list[str]) -> int:
    version = arguments[0].removeprefix("v") if arguments else UNRELEASED
    try:
        sys.stdout.write(notes(CHANGELOG.read_text(encoding="utf-8"), version))
    except ValueError as error:
        sys.stderr.write(f"release_notes.py: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
