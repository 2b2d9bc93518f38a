"""What several tests of the inference share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.inference.spec import InputSpec
from support.brought import Array, write


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Writes a model and opens it."""

    def opened(
        outputs: dict[str, Array],
        metadata: dict[str, str] | None = None,
        *,
        spec: InputSpec | None = None,
        said: dict[str, str] | None = None,
        backend: Any = "auto",
        **options: Any,
    ) -> PersonDetector:
        path = write(tmp_path / "m.onnx", outputs, metadata, **options)
        return load_detector(path=path, name="m", spec=spec, said=said, threads=1, score_floor=0.5, backend=backend)

    return opened
