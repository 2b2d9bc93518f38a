"""Tuning at once, on given pictures, instead of in the background on the cameras' pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from detector.config.model_settings import Model
from detector.config.schema import Config
from detector.core.errors import ConfigError, StorageError, UsageError
from detector.core.progress import Progress, quiet
from detector.inference.backends.onnx_metadata import inspect
from detector.inference.input_sizes import InputSize, best_input_size
from detector.inference.multi_size import AnyDetector, MultiSizeDetector
from detector.models.accuracy.likeness import distinct, likeness
from detector.models.loading import made, open_file, shapeable, shaped_loader
from detector.models.model_keys import said
from detector.models.registry import Resolved

from .choice import Choice, place, read, scenes_of
from .recordings import Recording, watch
from .samples import CalibrationSet, SampleCollector, SampleQuota
from .visibility import CameraVisibility, visible
from .worker_process import keep

Given = Mapping[str, Sequence[Path]]
"""Folders, pictures and clips by the camera's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineRequest:
    """What to tune. `size` (px) is that of the cameras without pictures."""

    config: Config
    resolved: Resolved
    given: Given
    size: tuple[int, int]
    need: SampleQuota = field(default_factory=SampleQuota)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineResult:
    """The result; `without_int8` says why INT8 was not tried, `lost` whether a choice without pictures replaced an
    earlier one that was made with pictures.
    """

    choice: Choice
    kept: Path
    footage: dict[str, Recording]
    sizes: dict[str, tuple[int, int]]
    without_int8: str | None
    lost: bool
    seen: dict[str, CameraVisibility | None]
    """By camera with pictures; None where they show nobody to try it with."""


def check(model: Model, resolved: Resolved) -> None:
    """Raise ConfigError or UsageError if the service would choose nothing either."""
    if model.backend != "auto":
        raise ConfigError(f"is {model.backend}, so there is nothing to choose: set auto", key="model.backend")
    if model.precision not in ("auto", "fp32"):
        raise ConfigError(
            f"is {model.precision}, so there is nothing to choose: set auto, or fp32", key="model.precision"
        )
    if resolved.path.suffix.lower() != ".onnx":
        raise ConfigError(f"{resolved.name} has no variants: name the ONNX model", key="model.name")
    if said(model):
        raise ConfigError("is described by keys of the config, so it runs as it is", key="model.name")
    if not shapeable(model, resolved):
        raise UsageError("TensorRT runs here: the service builds its engine by itself, `detector build` does so now")


def tune_offline(order: OfflineRequest, progress: Progress = quiet) -> OfflineResult:
    """Process the pictures, measure and compare the variants, and store the choice where the service finds it.

    Raises DetectorError.
    """
    model, scenes = order.config.model, scenes_of(order.config)
    check(model, order.resolved)
    if not scenes:
        raise ConfigError("no camera is enabled: the model's input sizes follow from the cameras", key="cameras")
    before = read(kept := place(model, order.resolved))
    base, footage = _watched(order, scenes, progress)
    sizes = {name: footage[name].size if name in footage else order.size for name in scenes.values()}
    # The size of most cameras first, as in the service: that one is measured.
    counted = Counter(best_input_size(base, *size) for size in sizes.values())
    evidence, missing = _evidence(order, base, footage, scenes)
    try:
        choice = keep(model, tuple(shape for shape, _ in counted.most_common()), evidence, progress)
    except OSError as error:
        raise StorageError(f"cannot keep the choice in {kept.parent}: {error.strerror or error}") from None
    return OfflineResult(
        choice=choice,
        kept=kept,
        footage=footage,
        sizes=sizes,
        without_int8=_without_int8(choice, order, missing),
        lost=before is not None and bool(before.scenes) and not choice.scenes,
        seen=_seen(order, footage, progress),
    )


def _seen(
    order: OfflineRequest, footage: Mapping[str, Recording], progress: Progress
) -> dict[str, CameraVisibility | None]:
    """With the exact model on ONNX Runtime: another variant is taken only where it finds the same."""
    model = order.config.model.model_copy(update={"backend": "onnxruntime", "precision": "auto"})

    def open_model(size: InputSize | None) -> AnyDetector:
        if size is None:
            return shaped_loader(model, order.resolved)()
        return open_file(model, order.resolved, made(order.resolved, size))

    found: dict[str, CameraVisibility | None] = {}
    for number, name in enumerate(footage):
        progress(number, len(footage), f"trying what {name} can see")
        found[name] = visible(order.given[name], order.config.cameras[name], open_model)
    return found


def _watched(
    order: OfflineRequest, scenes: Mapping[str, str], progress: Progress
) -> tuple[InputSize, dict[str, Recording]]:
    """The model's own size, and its detections by camera; the exact model on ONNX Runtime, the service's reference."""
    model = order.config.model.model_copy(update={"backend": "onnxruntime", "precision": "auto"})
    with closing(shaped_loader(model, order.resolved)()) as detector:
        assert isinstance(detector, MultiSizeDetector)
        return detector.base, {
            name: watch(
                order.given[name],
                name=name,
                camera=order.config.cameras[name],
                detector=detector,
                cameras=len(scenes),
                need=order.need,
                progress=progress,
            )
            for name in scenes.values()
            if name in order.given
        }


def _evidence(
    order: OfflineRequest, base: InputSize, footage: Mapping[str, Recording], scenes: Mapping[str, str]
) -> tuple[CalibrationSet | None, str | None]:
    """The calibration set by the service's rules, except for the time between pictures; or what is missing.

    A picture that was given twice, for one camera or for two, counts once: else it would calibrate and judge.
    """
    collector = SampleCollector(base=base, need=order.need, gap_s=0.0, empty_gap_s=0.0)
    sights = [(scene, each) for scene, name in scenes.items() if (seen := footage.get(name)) for each in (*seen.peopled, *seen.empty)]  # fmt: skip
    once = distinct([likeness(sight.image) for _, sight in sights])
    for number in once:
        scene, sight = sights[number]
        collector.observe(scene, sight.image, sight.visits, now=float(number), cameras=len(scenes))
    missing = collector.missing(scenes)
    if missing is None:
        return collector.evidence(scenes), None
    twice = len(sights) - len(once)
    return None, f"{missing}; {twice} pictures were given twice and count once" if twice else missing


def _without_int8(choice: Choice, order: OfflineRequest, missing: str | None) -> str | None:
    if any(result.form.calibrated for result in choice.results):
        return None
    if order.config.model.precision == "fp32":
        return "model.precision is fp32"
    if (own := inspect(order.resolved.path).precision) != "fp32":
        return f"the model is {own} already"
    if not order.given:
        return "it is calibrated on pictures, and none were given (--pictures)"
    if missing is not None:
        return f"it needs {missing}"
    return "it failed in operation: see what is left out"
