"""Loads the chosen variant, else the exact variants in the cache, else the model unchanged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from detector.config.model_settings import Model
from detector.core.errors import DetectorError, ModelError
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.inference.input_sizes import InputSize
from detector.inference.multi_size import AnyDetector
from detector.models.graph.variants import find, variants_dir, whole
from detector.models.loading import SCORE_FLOOR, loader, open_file, shapeable, shaped
from detector.models.probe import ProbeResult, probed
from detector.models.registry import Resolved

from .candidates import Candidate
from .choice import Choice, place, read, write

log = logging.getLogger(__name__)


def open_form(
    resolved: Resolved,
    form: Candidate,
    *,
    files: dict[InputSize, str] | None = None,
    expected: Sequence[InputSize] = (),
    score_floor: float = SCORE_FLOOR,
) -> AnyDetector:
    """The model as `form`, from files in the cache; `files` are those of a calibrated variant. Raises ModelError."""

    def file_of(shape: InputSize) -> Path | None:
        made = variants_dir() / files[shape] if files and shape in files else None
        return made if made is not None and whole(made) else find(resolved.path, shape=shape)

    return shaped(resolved, open_file=form_opener(resolved, form, score_floor), file_of=file_of, expected=expected)


def form_opener(
    resolved: Resolved, form: Candidate, score_floor: float = SCORE_FLOOR
) -> Callable[[Path], PersonDetector]:
    """What opens a file of the model as `form`; it raises ModelError."""

    def opened(path: Path) -> PersonDetector:
        return load_detector(
            path=path,
            name=resolved.name,
            spec=resolved.spec,
            backend=form.backend,
            precision="fp16" if form.precision == "half" else "auto",
            threads=form.threads,
            score_floor=score_floor,
        )

    return opened


def kept_choice(path: Path) -> Choice | None:
    """The choice stored at `path`; None if there is none or one of its files is missing."""
    choice = read(path)
    if choice is None or not all(whole(variants_dir() / name) for name in choice.files.values()):
        return None
    return choice


class AutotunedLoader:
    """A `model_host.Load`. Called again, after the variant that it returned failed, it returns the reference.

    Nothing is made or measured here, so a start takes no longer than with the unchanged model. `shapes` are the input
    sizes that will be needed, if known better than from the choice. `on_change` gets the choice after a failure, in
    the calling thread.
    """

    def __init__(
        self,
        model: Model,
        resolved: Resolved,
        *,
        scenes: Sequence[str] = (),
        shapes: Sequence[InputSize] = (),
        on_change: Callable[[Choice], None] = lambda _choice: None,
    ) -> None:
        self._model, self._resolved, self._shapes, self._on_change = model, resolved, tuple(shapes), on_change
        self._place = place(model, resolved) if shapeable(model, resolved) else None
        kept = None if self._place is None else kept_choice(self._place)
        if kept is not None and model.backend != "auto":
            if kept.results:  # the number of threads was measured
                self._model = model.model_copy(update={"threads": kept.taken.threads})
            self._shapes, kept = self._shapes or kept.shapes, None
        self.choice = None if kept is None else kept.fit_for(scenes)
        self._unchanged = loader(model, resolved)  # one for all loads: it counts an engine's failures
        self._given = False
        self.seen: ProbeResult | None = None  # what the model saw when it was loaded last

    def __call__(self) -> AnyDetector:
        detector = self._loaded()
        if not self._model.probe:
            return detector
        try:
            self.seen = probed(detector)
        except ModelError as error:
            detector.close()
            if self.choice is None or self.choice.taken.exact:
                raise
            log.warning("%s", error)
            return self()  # the choice gives way
        except BaseException:
            detector.close()
            raise
        return detector

    def _loaded(self) -> AnyDetector:
        choice = self.choice
        if choice is None:
            return self._as_configured()
        if not choice.taken.exact and self._given:
            choice = self._give_up(choice, "it failed in operation")
        self._given = True
        if not choice.taken.exact:
            try:
                detector = self._open(choice)
                detector.warm_up()
            except DetectorError as error:
                choice = self._give_up(choice, str(error))
            else:
                return detector
        return self._open(choice)

    def _open(self, choice: Choice) -> AnyDetector:
        return open_form(self._resolved, choice.taken, files=choice.files, expected=self._shapes or choice.shapes)

    def _as_configured(self) -> AnyDetector:
        """The configured backend; for auto before the measurement ONNX Runtime."""
        if self._place is None:
            return self._unchanged()
        return shaped(
            self._resolved,
            open_file=lambda path: open_file(self._model, self._resolved, path),
            file_of=lambda shape: find(self._resolved.path, shape=shape),
            expected=self._shapes,
        )

    def _give_up(self, choice: Choice, why: str) -> Choice:
        log.warning("%s is replaced by ONNX Runtime fp32: %s", choice.taken, why)
        self.choice = choice.without(choice.taken, why, threads=self._model.threads)
        assert self._place is not None
        try:
            write(self._place, self.choice)
        except OSError as error:
            log.warning("cannot store this in %s: %s", self._place.parent, error.strerror)
        self._on_change(self.choice)
        return self.choice
