"""The measured figures on disk: results.json, of which each section can be measured alone, and the page made from it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from detector.core.files import write_atomically

from .section import Figures, ResultSection, environment

_HEAD = (
    "# Measured results\n\nWritten by `python -m bench.results` from results.json beside it; do not edit. Times are of the "
    "machine that each\nsection names and say nothing of a Jetson.\n"
)


@dataclass(frozen=True, slots=True)
class Store:
    """`folder` holds results.json and README.md; sections that this checkout does not know are kept."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "results.json"

    def read(self) -> dict[str, Figures]:
        """Per section `environment` and `figures`; nothing where nothing was measured yet."""
        if not self.path.is_file():
            return {}
        sections: dict[str, Figures] = json.loads(self.path.read_text(encoding="utf-8"))["sections"]
        return sections

    def put(self, section: ResultSection, figures: Figures) -> None:
        self._write({**self.read(), section.name: {"environment": environment(section.packages), "figures": figures}})

    def take(self, other: Store, names: Iterable[str]) -> None:
        """Copy sections that were measured for another store, with their environment."""
        theirs = other.read()
        self._write({**self.read(), **{name: theirs[name] for name in names}})

    def render(self, sections: Iterable[ResultSection], *, first: Iterable[str] = ()) -> None:
        """README.md anew, from what is stored; `first` are Markdown lines before the sections."""
        stored, parts = self.read(), [_HEAD]
        if opening := "\n".join(first).strip():
            parts.append(f"{opening}\n")
        for section in sorted(sections, key=lambda one: one.order):
            if (one := stored.get(section.name)) is not None:
                lines = "\n".join(section.render(one["figures"])).strip()
                parts.append(f"## {section.title}\n\n{lines}\n\n{signature(one['environment'])}\n")
        write_atomically(self.folder / "README.md", "\n".join(parts))

    def _write(self, sections: dict[str, Figures]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps({"sections": dict(sorted(sections.items()))}, indent=1) + "\n")


def signature(environment: Figures) -> str:
    """Whence figures come, in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    return f"{environment['date']}: {environment['machine']}, load average {environment['load_average']}; {versions}."
