"""The study as one HTML page that opens offline, with inline styles and plots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from . import plots

Document = dict[str, Any]
_STYLE = """
:root{--ink:#1c2733;--muted:#66727f;--line:#e2e7ec;--soft:#f6f8f9;--accent:#0f766e;--bad:#b4532a}
*{box-sizing:border-box}
body{font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;color:var(--ink);
 background:#fff;margin:0}
main{max-width:1240px;margin:0 auto;padding:2.2rem 1.4rem 4rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .3rem;letter-spacing:-.01em}
h2{font-size:1.15rem;margin:2.6rem 0 .5rem;padding-top:1.1rem;border-top:1px solid var(--line)}
p{margin:.4rem 0 .8rem;max-width:46rem}.muted{color:var(--muted)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.8rem;margin:1.3rem 0}
.card{border:1px solid var(--line);border-radius:10px;padding:.8rem 1rem;background:var(--soft)}
.card b{display:block;font-size:1.65rem;line-height:1.2;font-weight:650;letter-spacing:-.02em}
.card span{color:var(--muted);font-size:.86rem}.card.main b{color:var(--accent)}
.verdict{font-size:1.06rem;border-left:4px solid var(--accent);padding:.1rem 0 .1rem .9rem;margin:1rem 0}
.verdict.none{border-color:var(--bad)}
svg{width:100%;height:auto;display:block;margin:.4rem 0 1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.87rem;font-variant-numeric:tabular-nums}
th{font-weight:600;color:var(--muted);vertical-align:bottom}
th,td{padding:.36rem .6rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}td.text{white-space:normal;text-align:left}
tr.chosen td{background:#e9f5f3;font-weight:600}tr.over td{color:var(--muted)}
pre{background:var(--soft);border:1px solid var(--line);border-radius:10px;padding:.8rem 1rem;overflow-x:auto;
 font:13px/1.5 ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}
"""


def page(document: Document, *, config: str | None) -> str:
    """The whole page; `config` is the service's configuration for the winner."""
    rows: list[Document] = document["cells"]
    chosen = next((row for row in rows if row["key"] == document["winner"]), None)
    name = escape(document["model"]["name"])
    libraries = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    origin = f"{document['machine']} · {document['when'][:10]} · detector {document['detector']} · {libraries}"
    parts = [
        f"<h1>{name}: what it can be on this machine</h1>",
        f'<p class="muted">{escape(origin)}</p>',
        _verdict(document, chosen),
        "" if chosen is None else _cards(chosen),
        "" if config is None else f"<p>In the service's configuration:</p><pre>{escape(config)}</pre>",
    ]
    if rows:
        parts += _plots(document, rows)
    parts += [
        "<h2>Baselines</h2>", _baselines(document),
        "<h2>Every variant</h2>", _cells(document, rows),
        _failed(document),
        "<h2>How it was measured</h2>", *(f"<p>{escape(line)}</p>" for line in method(document)),
    ]  # fmt: skip
    return whole(f"{name}, optimised", parts)


def whole(title: str, parts: Iterable[str]) -> str:
    """A page of its own from parts in HTML; `title` is escaped already."""
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main>",
    )
    return "\n".join([*head, *parts, "</main></body></html>", ""])


def _verdict(document: Document, chosen: Document | None) -> str:
    budget = f"{document['max_ap_drop']:g} AP points"
    if chosen is None:
        return (
            f'<p class="verdict none">No variant of {len(document["cells"])} is shown to stay within {budget} of the model in FP32: '
            "there is no winner.</p>"
        )
    tie = document["tie"]
    fastest = f"one of the fastest (a tie, broken by {tie['rule']})" if tie and tie["tied"] else "the fastest"
    return f'<p class="verdict">Chosen: <b>{escape(chosen["label"])}</b>, {fastest} shown to lose at most {budget}.</p>'


def _cards(chosen: Document) -> str:
    cards = [
        (_times(chosen["over_eager"]), "over PyTorch eager FP32", True),
        (_times(chosen["over_onnxruntime"]), "over ONNX Runtime FP32", True),
        (points(chosen["drop"]), "AP points, worst set", False),
        (f"{chosen['p50_ms']:.1f} ms", f"a picture; p99 {chosen['p99_ms']:.1f} ms", False),
        (f"{chosen['fps']:.0f}", "pictures a second", False),
        (f"{chosen['bytes'] / 1e6:.1f} MB", "on disk", False),
    ]
    return '<div class="cards">' + "".join(
        f'<div class="card{" main" if main else ""}"><b>{value}</b><span>{what}</span></div>'
        for value, what, main in cards if value != "-"
    ) + "</div>"  # fmt: skip


def _plots(document: Document, rows: list[Document]) -> Iterable[str]:
    budget, winner = document["max_ap_drop"], document["winner"]
    yield "<h2>Accuracy against time</h2>"
    yield "<p>Up and to the left is better. Nothing beats a variant on the front in both.</p>"
    yield plots.pareto(rows, front=document["front"], winner=winner, max_drop=budget)
    eager = any(row["over_eager"] is not None for row in rows)
    over, title = ("over_eager", "PyTorch eager FP32") if eager else ("over_onnxruntime", "ONNX Runtime FP32")
    yield f"<h2>How many times faster than {title}</h2>"
    yield "<p>The fastest, each over the baseline with as many threads, in the same rounds. Hatched: over the budget.</p>"
    yield plots.factors(rows, over=over, title=f"times the speed of {title}", winner=winner)
    if document["levers"]:
        yield "<h2>What each lever is worth</h2>"
        yield "<p>Pairs that differ in this alone: the median of their factors, and the least and the most.</p>"
        yield plots.levers(document["levers"])
        yield _levers(document["levers"])


def _levers(found: Sequence[Document]) -> str:
    rows = [
        [lever["name"], _times(lever["factor"]), f"{lever['least']:.2f} to {lever['most']:.2f}", points(lever["points"]), str(lever["pairs"])]
        for lever in found
    ]  # fmt: skip
    return table(["lever", "factor", "least to most", "AP points", "pairs"], rows)


def _baselines(document: Document) -> str:
    rows = []
    for one in document["baselines"].values():
        times = "; ".join(
            f"{ms:.1f} ms ({threads} thread{'s' * (threads != '1')})" for threads, ms in one["p50_ms"].items()
        )
        memory = f"{one['peak_mib']:.0f}" if one["peak_mib"] else "-"
        rows.append([one["label"], times or f"left out: {one['reason']}", memory])
    accuracy = "; ".join(f"{name}: AP {found['ap']:.3f}, AP50 {found['ap50']:.3f}" for name, found in document["reference"].items())  # fmt: skip
    eager = document["eager_accuracy"]
    said = [f"Person AP of the model in FP32: {accuracy}."]
    if eager:
        said.append("PyTorch's: " + "; ".join(f"{name}: AP {found['ap']:.3f}" for name, found in eager.items()) + ".")
    return table(["baseline", "median", "peak MiB"], rows) + f"<p>{escape(' '.join(said))}</p>"


def _cells(document: Document, rows: list[Document]) -> str:
    sets = [one["name"] for one in document["sets"]]
    watts = any(row["watts"] is not None for row in rows)
    head = [
        "variant",
        "AP points",
        "at most",
        "p50 ms",
        "p99 ms",
        "pictures/s",
        "x eager",
        "x eager, same input",
        "x ORT",
    ]
    head += ["MB", "peak MiB", *(["watts", "joules a picture"] if watts else []), "computes in"]
    head += [f"{figure} {name}" for name in sets for figure in ("AP", "AP50")]
    lines, classes = [], []
    for row in rows:
        line = [row["label"], points(row["drop"]), "none" if row["drop_bound"] is None else points(row["drop_bound"])]
        line += [f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}", f"{row['fps']:.1f}"]
        line += [_times(row[f"over_{name}"]) for name in ("eager", "eager_same_input", "onnxruntime")]
        line += [f"{row['bytes'] / 1e6:.1f}", "-" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"]
        line += [f"{row['watts']:.1f}", f"{row['joules']:.2f}"] if watts else []
        line += [row["computes"], *(f"{row['accuracy'][n][f]:.3f}" for n in sets for f in ("ap", "ap50"))]
        lines.append(line)
        classes.append("chosen" if row["key"] == document["winner"] else "" if row["within_budget"] else "over")
    return table(head, lines, classes)


def _failed(document: Document) -> str:
    if not document["failed"]:
        return ""
    rows = [[one["label"], one["reason"]] for one in document["failed"]]
    return "<h2>What could not be measured</h2>" + table(["variant", "why"], rows)


def method(document: Document) -> list[str]:
    """What a reader must know to believe the figures, or not to."""
    lines = [
        (
            f"Every variant and every baseline runs in a process of its own; in each of {document['rounds']} rounds each "
            "runs a burst of three pictures after one that is not counted, in turning order, the others asleep. Times are "
            "from a decoded picture to boxes in it; factors compare medians of the same rounds with as many threads. To "
            "show all rounds on one scale, ms are brought to the median pace of ONNX Runtime FP32."
        ),
        "Power: no sensor that could be read, so no watts are shown."
        if document["power"] == "no sensor"
        else f"Power: {document['power']}, which sees the whole processor or board.",
    ]
    lines += certainty(document)
    if document["checkpoint"] is None:
        lines.append(
            "PyTorch eager was not measured: that takes the checkpoint that the model was exported from (--checkpoint)."
        )
    else:
        lines.append(
            f"PyTorch eager is {document['checkpoint']}, as loaded and with its normalisation folded into the convolutions."
        )
    calibration = document["calibration"]
    if calibration is None:
        lines.append("There were no pictures to calibrate on: INT8 was left out.")
    else:
        lines.append(
            f"INT8 was calibrated on {calibration['pictures']} pictures; none of them is among those that judge."
        )
    pictures = ", ".join(f"{one['name']} ({one['pictures']} pictures)" for one in document["sets"])
    lines.append(f"Person AP by pycocotools on {pictures}; AP points are hundredths, and the worst set counts.")
    lines.append("TensorRT engines are not in this grid: detector build makes and judges those, on the GPU itself.")
    return lines


def certainty(document: Document) -> list[str]:
    """How sure the figures are: noise of the times and of the accuracy, ties, and how pictures were divided."""
    noise = document["noise"]
    lines = [
        "Noise of the times: "
        + (
            ""
            if noise is None
            else f"the same thing measured twice in the same rounds differs by {noise:.1%} at worst; "
        )
        + "± is the interval over rounds (90 %)."
    ]
    persons = ", ".join(f"{one['persons']} persons in {one['name']}" for one in document["sets"])
    lines.append(
        f"Noise of the accuracy: the bound is the most that is lost on other pictures like these (90 %, paired bootstrap; "
        f"{persons})."
    )
    lines += _tie(document["tie"])
    note = (document["calibration"] or {}).get("note")
    return [*lines, *([f"Pictures: {note}."] if note else [])]


def _tie(tie: Document | None) -> list[str]:
    """The first place in words; none where the noise alone told it."""
    if tie is None:
        return []
    names = [one["label"] for one in tie["variants"] if one["tied"]]
    again = tie["again"]
    how = (
        "by the noise of its rounds"
        if again is None
        else f"in {again['rounds']} rounds together ({again['seconds']:g} s)"
    )
    if tie["tied"]:
        head = f"A tie: {'; '.join(names)} cannot be told apart {how}; it is broken by {tie['rule']}."
    else:
        head = f"First place: {names[0] if names else 'none'}, told from the others {how}."
    return [
        head,
        *(f"  {one['label']}: {_over(one['over_fastest'])}" for one in tie["variants"] if one["over_fastest"]),
    ]


def _over(interval: Sequence[float]) -> str:
    median, low, high = interval
    return f"{median:.3f} times the fastest's time ({low:.3f} to {high:.3f})"


def points(lost: float) -> str:
    """AP points lost as a change: a loss is negative."""
    return f"{0.0 if abs(lost) < 0.005 else -lost:+.2f}"


def _times(factor: float | None) -> str:
    return "-" if factor is None else f"{factor:.2f}x"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], classes: Sequence[str] = ()) -> str:
    """A table in HTML, its cells escaped; `classes` of its rows."""
    long = ' class="text"'
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f'<tr class="{classes[index] if classes else ""}">'
        + "".join(f"<td{long * (len(cell) > 60)}>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for index, row in enumerate(rows)
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
