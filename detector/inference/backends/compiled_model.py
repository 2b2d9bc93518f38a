"""Model files optimised for one machine, and the check that it is this one."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path

from detector.core.errors import ModelError
from detector.core.system_info import cpu_info

KEY = "detector.compiled"
"""Metadata key of a compiled ONNX file: JSON of what it was compiled from and for, kept in the file itself."""

_FEATURES = ("flags", "Features")  # as x86 and ARM kernels call them


def made_for(runtime: str, version: str) -> dict[str, str]:
    """What a compiled graph depends on: ONNX Runtime arranges weights for this CPU's instructions."""
    lines = cpu_info()
    features = next((lines[name] for name in _FEATURES if name in lines), "")
    return {
        "runtime": f"{runtime} {version}",
        "cpu": lines.get("model name", platform.machine()),
        "features": hashlib.sha256(" ".join(sorted(features.split())).encode()).hexdigest()[:16],
    }


def refuse_foreign(path: Path, metadata: Mapping[str, str], runtime: str, version: str) -> bool:
    """Whether the file is compiled; raises ModelError if it was compiled for another machine or runtime."""
    if KEY not in metadata:
        return False
    here = made_for(runtime, version)
    try:
        document = json.loads(metadata[KEY])
        source, wanted = str(document["source"]), {name: str(document[name]) for name in here}
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"{path.name} does not say what it was compiled for: compile it again") from None
    if wanted != here:
        raise ModelError(
            f"{path.name} was compiled for {wanted['cpu']} with {wanted['runtime']}, this is {here['cpu']} with "
            f"{here['runtime']}: redo it here with detector compile {source} --target onnxruntime"
        )
    return True
