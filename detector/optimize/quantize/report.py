"""The report of a quantised model as one HTML page: what was judged, and how sensitive each layer is."""

from __future__ import annotations

from html import escape

from detector.optimize.study import plots
from detector.optimize.study.report import table, whole

from .quantize import QuantizeResult


def page(result: QuantizeResult, *, model: str) -> str:
    """The whole page; it opens offline."""
    name = escape(f"{model} in {result.precision}")
    parts = [f"<h1>{name}</h1>", f'<p class="verdict">{escape(result.why)}</p>', *_facts(result)]
    if result.sensitivity:
        floats = {kept.layer for kept in result.kept}
        rows = [(each.layer, each.error, each.layer in floats) for each in result.sensitivity]
        parts += [
            "<h2>How sensitive each layer is</h2>",
            (
                "<p>Each layer alone was made smaller, and the persons found were compared with the original's: 0 where nothing "
                "moves, 2 where they are lost. Filled: left in floats.</p>"
            ),
            plots.sensitivity(rows),
            table(["layer", "error", "left in floats"], [[n, f"{e:.4f}", "yes" if f else "no"] for n, e, f in rows]),
        ]
    trials = [
        [t.runtime, t.method or "-", str(t.float_layers), "yes" if t.holds else "no", t.why] for t in result.trials
    ]
    parts += ["<h2>What was tried</h2>", table(["runtime", "method", "layers in floats", "holds", "why"], trials)]
    return whole(name, parts)


def _facts(result: QuantizeResult) -> list[str]:
    lines = [f"{result.bytes_before} to {result.bytes_after} bytes, for {result.runtime}.", *result.notes]
    if result.ratio is not None:
        lines.append(f"{result.ms_before} to {result.ms_after} ms a run on one thread, ratio {result.ratio:.2f}.")
    return [f"<p>{escape(line)}</p>" for line in lines]
