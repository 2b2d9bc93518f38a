"""Has the fastest variants of a study measured again together where noise does not tell them apart; kept as cells are."""

from __future__ import annotations

import dataclasses
from typing import Any

from detector.core.files import key_of
from detector.core.progress import Progress, quiet

from .noise import Ratio
from .request import StudyRequest, versions
from .results_cache import Cells
from .settle import Settled, settle
from .study import VERSION, StudyOutcome
from .subject import subject
from .verdict import contenders


def decided(
    request: StudyRequest, outcome: StudyOutcome, *, limit_s: float, progress: Progress = quiet
) -> StudyOutcome:
    """`outcome` with what settled the first place; as it is where one variant is the fastest or `limit_s` is 0."""
    keys = contenders(request, outcome)
    if len(keys) < 2 or limit_s <= 0:
        return outcome
    kept = Cells(request.out / "cells" / "settled")
    name = key_of(VERSION, versions(), keys, limit_s)
    if (found := _parsed(kept.get(name))) is None:
        by_key = {cell.key: cell.variant for cell in outcome.cells}
        subjects = {key: subject(by_key[key], outcome.files[by_key[key].form], request.spec) for key in keys}
        what = f"settling the first place among {len(keys)}"
        found = settle(
            subjects,
            request.sets[0].timed(),
            limit_s=limit_s,
            progress=lambda spent: progress(min(round(spent), round(limit_s)), round(limit_s), what),
        )
        if found is not None:
            kept.put(name, dataclasses.asdict(found))
    return dataclasses.replace(outcome, settled=found)


def _parsed(document: dict[str, Any] | None) -> Settled | None:
    """What was kept; None for nothing, and for what was edited."""
    if document is None:
        return None
    try:
        ratios = {key: Ratio(**each) for key, each in document["ratios"].items()}
        return Settled(**{**document, "ratios": ratios, "tied": tuple(document["tied"])})
    except (KeyError, TypeError, AttributeError):
        return None
