"""What a model's scores tell: of people and of nobody, by height and light; and the sum that confirms a person.

    python -m bench.evidence [--only TEXT] [--shared DIR] [--json FILE]

The scenes of bench.visits to choose by (--quick) run through the service's own pipeline; each look at each track in its
first seconds is counted as one at a person, where the track lies on one, or at nobody, where everybody is marked. The
bar is what makes no more false visits in these scenes than `min_frames` detections of `min_score` do, and at least
ln 100: one wrong decision in a hundred (Wald 1945). Looks depend on no load. Each scene's are kept in the cache, so
that a run that was broken off goes on, and several runs with different `--only` share the work.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # the scoring is the tests' own

from detector.analytics.evidence_curves import HEIGHTS, SCORES, EvidenceCurves  # noqa: E402  # after the path is set
from detector.core.files import cache_dir, file_sha256, write_atomically  # noqa: E402

from .evidence_looks import TrackLooks, confirmed_by_frames, highest_sums, record  # noqa: E402
from .visit_parts import VisitScene  # noqa: E402
from .visit_results import program_key  # noqa: E402
from .visit_scenes import visit_scenes  # noqa: E402
from .visits import open_default  # noqa: E402

_MODEL = "yolox-tiny-person"
_FIRST_S = 3.0  # of a track: by then it is confirmed or not
_LEAST_BAR = math.log(100.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded:
    """The looks of one scene."""

    scene: str
    tracks: list[TrackLooks]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--only", default="", help="only scenes with this text in their name or condition")
    parser.add_argument("--kept", action="store_true", help="only scenes that were looked at before")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if not (chosen.shared / "media" / "video").is_dir():
        print(f"no clips in {chosen.shared}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    scenes = [
        scene
        for scene in visit_scenes(chosen.shared, quick=True)
        if scene.part == "choose" and chosen.only in f"{scene.name}, {scene.condition}"
    ]
    recorded = list(_recorded(scenes, kept=chosen.kept))
    if not recorded:
        print("nothing was looked at before with this program: run it without --kept", file=sys.stderr)
        return 1
    document = summary(recorded)
    print(f"{document['scenes']} scenes; bar {document['bar']}; tracks {document['tracks']}")
    if chosen.json:
        chosen.json.write_text(json.dumps(document) + "\n", encoding="utf-8")
    return 0


def _recorded(scenes: Sequence[VisitScene], *, kept: bool) -> Iterator[_Recorded]:
    program, detector = program_key() + file_sha256(ROOT / "bench" / "evidence_looks.py"), None
    for number, scene in enumerate(scenes):
        key = hashlib.sha256(json.dumps([program, scene.name, scene.condition]).encode()).hexdigest()[:24]
        path = cache_dir() / "bench" / "evidence" / f"{key}.json"
        if kept and not path.is_file():
            continue
        if not path.is_file():
            print(f"{number + 1} of {len(scenes)}: {scene.name}, {scene.condition}", file=sys.stderr)
            detector = detector or open_default(None)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps([track.document() for track in record(scene, detector)]) + "\n")
        tracks = [TrackLooks.read(one) for one in json.loads(path.read_text(encoding="utf-8"))]
        yield _Recorded(scene=f"{scene.name}, {scene.condition}", tracks=tracks)
    if detector is not None:
        detector.close()


def summary(recorded: Sequence[_Recorded]) -> dict[str, Any]:
    """Counts by light, height and score, the bar, and how both rules decide on the same tracks."""
    tracks = [track for one in recorded for track in one.tracks if track.person is not None]
    counts = {light: _counts(tracks, dark=light == "dark") for light in ("bright", "dark")}
    by_frames = [track for track in tracks if confirmed_by_frames(track)]
    allowed = sum(not track.person for track in by_frames)
    free = EvidenceCurves(bright=counts["bright"], dark=counts["dark"], bar=math.inf)
    bar = _bar([[t for t in one.tracks if t.person is not None] for one in recorded], free, allowed)
    curves = EvidenceCurves(bright=counts["bright"], dark=counts["dark"], bar=bar)
    by_evidence = [
        track
        for one in recorded
        for track, top in highest_sums([t for t in one.tracks if t.person is not None], curves).items()
        if top >= bar
    ]
    return {
        "model": _MODEL,
        "scenes": len(recorded),
        "heights": HEIGHTS,
        "scores": SCORES,
        **counts,
        "bar": bar,
        "tracks": {
            name: {"people": sum(bool(t.person) for t in some), "nobody": sum(not t.person for t in some)}
            for name, some in (("all", tracks), ("frames", by_frames), ("evidence", by_evidence))
        },
    }


def _counts(tracks: Sequence[TrackLooks], *, dark: bool) -> list[list[list[int]]]:
    table = [[[0, 0] for _ in SCORES] for _ in HEIGHTS]
    for track in tracks:
        for look in track.looks:
            if look.dark == dark and look.mono - track.looks[0].mono <= _FIRST_S:
                row = sum(look.height >= edge for edge in HEIGHTS[1:])
                column = sum(look.score >= edge for edge in SCORES[2:]) + 1 if look.score > 0.0 else 0
                table[row][column][0 if track.person else 1] += 1
    return table


def _bar(scenes: Sequence[Sequence[TrackLooks]], curves: EvidenceCurves, allowed: int) -> float:
    """The lowest bar, at least `_LEAST_BAR`, that at most `allowed` tracks of nobody reach."""
    tops = [one for tracks in scenes for one in highest_sums(tracks, curves).items()]
    highest = sorted((top for track, top in tops if not track.person), reverse=True)
    over = highest[allowed] if len(highest) > allowed else 0.0
    return round(max(_LEAST_BAR, over + 0.01), 2)


if __name__ == "__main__":
    raise SystemExit(main())
