"""What `make bench` runs: measures speed, holds it against the targets, and writes a report.

    python -m bench [--only NAME,NAME] [--shared DIR] [--out DIR]

Writes results.json, README.md and bench.html (opens offline) to bench/out, and prints the table of targets. A missed
target is a finding, not a failure: the exit code is 1 only where something could not be measured.
`python -m bench.results --take bench/out/results.json` makes these figures the project's own.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .page import page
from .results import measure_all
from .section import ROOT
from .sections import all_sections
from .store import Store
from .targets import TargetRow, table, targets

SPEED = ("overhead", "glass", "mqtt", "stall", "cameras", "still")
_COLOURS = {"met": "green", "missed": "red", "not measured": "yellow"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--only", default=",".join(SPEED), help="sections, separated by commas")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "out")
    chosen = parser.parse_args(arguments)
    sections, wanted = all_sections(), chosen.only.split(",") if chosen.only else []
    if unknown := sorted(set(wanted) - set(sections)):
        print(f"no section {', '.join(unknown)}; known: {', '.join(sections)}", file=sys.stderr)
        return 2
    if wanted and not (chosen.shared / "media").is_dir():
        print(f"no pictures in {chosen.shared}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    store = Store(chosen.out)
    failed = measure_all([sections[name] for name in wanted], chosen.shared, store)
    stored = store.read()
    store.render(sections.values(), first=table(stored))
    rows = targets({name: one["figures"] for name, one in stored.items()})
    report = chosen.out / "bench.html"
    report.write_text(page(stored, sections.values(), rows), encoding="utf-8")
    _print(rows)
    print(f"report: {report}")
    return 1 if failed else 0


def _print(rows: Sequence[TargetRow]) -> None:
    table = Table("quantity", "target", "measured", "", show_lines=False)
    for row in rows:
        table.add_row(row.quantity, row.target, row.measured, f"[{_COLOURS[row.verdict]}]{row.verdict}")
    console = Console()
    console.print(table)
    for row in rows:
        if row.why:
            console.print(f"[bold]{row.quantity}[/]: {row.why}", highlight=False)


if __name__ == "__main__":
    raise SystemExit(main())
