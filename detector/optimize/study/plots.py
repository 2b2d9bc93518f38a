"""The report's plots as inline SVG by matplotlib: no second file, no script, no font to download."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from detector.core.errors import DetectorError

INK, MUTED, GRID, ACCENT, BAD = "#1c2733", "#66727f", "#e6eaee", "#0f766e", "#b4532a"
_COLOURS = {"onnxruntime": "#3b6fb5", "openvino": "#0f766e"}
_NAMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
_STYLE = {
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.grid": True,
    "grid.color": GRID,
    "axes.axisbelow": True,
    "svg.hashsalt": "detector",  # the same study gives the same page
}
Rows = Sequence[dict[str, Any]]


def require() -> None:
    """Raises DetectorError where matplotlib is not installed: better before hours of measuring than after."""
    try:
        import matplotlib  # noqa: F401, ICN001  # only whether it is there
    except ImportError:
        raise DetectorError("matplotlib is not installed: pip install matplotlib") from None


def pareto(rows: Rows, *, front: Sequence[str], winner: str | None, max_drop: float) -> str:
    """AP points lost over ms a picture; the front as a line, the budget as a shaded bound."""
    figure, axes = _figure(4.6)
    for backend, colour in _COLOURS.items():
        for filled, marker in ((False, "o"), (True, "D")):
            some = [
                r for r in rows if r["runtime"]["backend"] == backend and (r["form"]["precision"] != "fp32") == filled
            ]
            if some:
                axes.scatter(
                    [r["p50_ms"] for r in some],
                    [r["drop"] for r in some],
                    s=46,
                    marker=marker,
                    facecolor=colour if filled else "white",
                    edgecolor=colour,
                    linewidth=1.4,
                    zorder=3,
                    label=f"{_NAMES[backend]}, {'INT8' if filled else 'floats'}",
                )
    line = [row for key in front for row in rows if row["key"] == key]
    axes.plot(
        [r["p50_ms"] for r in line], [r["drop"] for r in line], color=INK, linewidth=1.2, zorder=2, label="Pareto front"
    )
    for row in rows:
        if row["key"] == winner:
            axes.scatter(
                [row["p50_ms"]],
                [row["drop"]],
                s=330,
                marker="*",
                color="#d9a514",
                edgecolor=INK,
                linewidth=0.8,
                zorder=4,
                label="chosen",
            )
    axes.axhline(max_drop, color=BAD, linestyle=(0, (5, 4)), linewidth=1.2, zorder=1)
    low, high = axes.get_ylim()
    axes.set_ylim(high, min(low, -0.15))  # better is up
    axes.axhspan(max_drop, max(high, max_drop), color=BAD, alpha=0.05, zorder=0)
    axes.annotate(f"budget: {max_drop:g} AP points", (1, max_drop), xycoords=("axes fraction", "data"), xytext=(-4, 5), textcoords="offset points", ha="right", color=BAD)  # fmt: skip
    axes.set_xlim(left=0)
    axes.set_xlabel("ms from picture in hand to boxes, median")
    axes.set_ylabel("AP points lost, worst set")
    axes.legend(frameon=False, fontsize=9.5, loc="best")
    return _svg(figure)


def factors(rows: Rows, *, over: str, title: str, winner: str | None, count: int = 14) -> str:
    """How many times faster than a baseline: the fastest variants; those over the budget are hatched."""
    shown = [row for row in rows if row[over] is not None]
    shown = sorted(shown, key=lambda row: -float(row[over]))[:count]
    figure, axes = _figure(0.36 * len(shown) + 0.9)
    for place, row in enumerate(reversed(shown)):
        colour = _COLOURS[row["runtime"]["backend"]]
        fine = row["within_budget"]
        axes.barh(place, row[over], height=0.66, color=colour if fine else "white", edgecolor=colour, hatch=None if fine else "////", linewidth=1)  # fmt: skip
        weight = "bold" if row["key"] == winner else "normal"
        axes.text(row[over], place, f" {row[over]:.2f}x", va="center", fontweight=weight)
    axes.set_yticks(range(len(shown)), [row["label"] for row in reversed(shown)], fontsize=9)
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_xlim(0, max(float(row[over]) for row in shown) * 1.12)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(title)
    return _svg(figure)


def levers(found: Sequence[dict[str, Any]]) -> str:
    """Each lever's own factor, the median over its pairs, whiskers from the least to the most."""
    figure, axes = _figure(0.4 * len(found) + 0.9)
    for place, lever in enumerate(reversed(found)):
        colour = ACCENT if lever["factor"] >= 1 else BAD
        axes.plot([lever["least"], lever["most"]], [place, place], color=colour, linewidth=2, alpha=0.45)
        axes.scatter([lever["factor"]], [place], s=60, color=colour, zorder=3)
        axes.annotate(f"{lever['factor']:.2f}x", (lever["factor"], place), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=9)  # fmt: skip
    axes.set_yticks(range(len(found)), [lever["name"] for lever in reversed(found)])
    axes.set_ylim(-0.6, len(found) - 0.2)
    axes.axvline(1, color=INK, linewidth=1)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("times faster, by this lever alone")
    return _svg(figure)


def sensitivity(found: Sequence[tuple[str, float, bool]], *, count: int = 40) -> str:
    """The error of each layer alone made smaller, the largest first; those that stayed in floats are filled."""
    shown = found[:count]
    figure, axes = _figure(0.24 * len(shown) + 0.9)
    for place, (_, error, floats) in enumerate(reversed(shown)):
        axes.barh(place, error, height=0.66, color=BAD if floats else "white", edgecolor=BAD if floats else ACCENT)
    axes.set_yticks(range(len(shown)), [layer[-48:] for layer, _, _ in reversed(shown)], fontsize=8)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("error in the persons' boxes and scores with this layer alone made smaller")
    return _svg(figure)


def _figure(height: float) -> tuple[Any, Any]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.use("agg")  # never a window, whatever the environment asks for
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # the stubs list every key
        figure = Figure(figsize=(9.6, height), layout="constrained")
        axes = figure.add_subplot()
    return figure, axes


def _svg(figure: Any) -> str:
    import matplotlib as mpl

    text = io.StringIO()
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # the stubs list every key
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    # Its metadata block names other hosts' schemas, which the page has no use for.
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    return re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"|<svg height="[^"]*" ', r"<svg \1", drawn, count=1)
