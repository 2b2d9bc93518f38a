"""Measures here what the project's pages tell, and writes engines/README.md, results.json and models.yaml.

    python -m bench.results [--only NAME,NAME] [--take FILE] [--render] [--shared DIR] [--out DIR]

`--only` measures these sections (bench.section says how one is added) and takes the others from results.json;
`--take` copies sections from another results.json, such as `make bench` leaves in bench/out, instead of measuring.
No figure in those files is typed by hand. Needs the shared data, and the extra `evaluate`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from detector.core.system_info import machine
from detector.models.registry import load_registry

from .section import ROOT, Figures, ResultSection
from .sections import all_sections
from .sections.models import DATA_SET
from .store import Store
from .targets import table

REGISTRY = ROOT / "engines" / "models.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    sections, store = all_sections(), Store(chosen.out)
    wanted = chosen.only.split(",") if chosen.only else list(sections)
    if unknown := sorted(set(wanted) - set(sections)):
        print(f"no section {', '.join(unknown)}; known: {', '.join(sections)}", file=sys.stderr)
        return 2
    failed = []
    if chosen.take:
        failed = _take(store, Store(chosen.take.parent), wanted, all_of_them=bool(chosen.only))
    elif not chosen.render:
        if not (chosen.shared / "media").is_dir():
            print(f"no pictures in {chosen.shared}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
            return 1
        failed = measure_all([sections[name] for name in wanted], chosen.shared, store)
    store.render(sections.values(), first=table(store.read()))
    if chosen.out == REGISTRY.parent and (models := store.read().get("models")) is not None:
        evidence = store.read().get("evidence")
        REGISTRY.write_text(_measured(REGISTRY.read_text(encoding="utf-8"), models, evidence), encoding="utf-8")
        load_registry(REGISTRY)  # what was written must be valid
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure and write it down.")
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--only", help="sections, separated by commas")
    parser.add_argument("--take", type=Path, metavar="results.json", help="measured before; nothing is measured")
    parser.add_argument("--render", action="store_true", help="the pages from what is stored; nothing is measured")
    parser.add_argument("--out", type=Path, default=REGISTRY.parent)
    return parser


def measure_all(sections: Sequence[ResultSection], shared: Path, store: Store) -> list[str]:
    """Measure and store one after the other; returns the names of those that could not be measured."""
    failed = []
    for section in sections:
        print(f"--- {section.title}", file=sys.stderr)
        try:
            store.put(section, section.measure(shared))
        except Exception as error:  # the others' minutes must not be lost with it
            print(f"{section.name} could not be measured: {error}", file=sys.stderr)
            failed.append(section.name)
    return failed


def _take(store: Store, other: Store, wanted: Sequence[str], *, all_of_them: bool) -> list[str]:
    there = [name for name in wanted if name in other.read()]
    store.take(other, there)
    missing = [name for name in wanted if name not in there] if all_of_them else []
    if missing:
        print(f"{other.path} has no section {', '.join(missing)}", file=sys.stderr)
    return missing


def _measured(text: str, models: Figures, evidence: Figures | None = None) -> str:
    """`text` of models.yaml with each model's `measured` line replaced; comments stay."""
    where = models["environment"].get("machine") or machine()
    for name, figures in models["figures"].items():
        accuracy = {key: round(figures["accuracy"][key], 3) for key in ("ap50", "ap")}
        speed = {"infer_ms": round(figures["speed"]["stages"]["infer"]["p50"], 1)}
        line = json.dumps({"accuracy": {DATA_SET: accuracy}, "speed": {where: speed}, **_told(name, evidence)})
        pattern = rf"(^  {re.escape(name)}:\n(?:^(?:    .*)?\n)*?^    measured: ).*$"
        text, count = re.subn(pattern, lambda m, line=line: m[1] + line, text, flags=re.MULTILINE)  # type: ignore[misc]
        if count != 1:
            raise SystemExit(f"{REGISTRY} has no line `measured:` for {name}")
    return text


def _told(name: str, evidence: Figures | None) -> Figures:
    """What the model's scores tell, where that was measured."""
    if evidence is None or evidence["figures"]["model"] != name:
        return {}
    return {"evidence": {key: evidence["figures"][key] for key in ("bright", "dark", "bar")}}


if __name__ == "__main__":
    raise SystemExit(main())
