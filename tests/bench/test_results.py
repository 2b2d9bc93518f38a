from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bench import results
from bench.section import Figures, ResultSection, command, environment
from bench.sections import all_sections
from bench.store import Store
from bench.targets import table

ENGINES = Path(__file__).resolve().parents[2] / "engines"


def section(name: str, order: int, figures: Figures | None = None) -> ResultSection:
    def measure(_shared: Path) -> Figures:
        if figures is None:
            raise RuntimeError("it fell")
        return figures

    return ResultSection(
        name=name,
        order=order,
        title=name.upper(),
        measure=measure,
        render=lambda found: [f"value {found['value']}"],
        packages=("pydantic",),
    )


def test_sections_stand_on_the_page_in_order_each_with_its_origin(tmp_path: Path) -> None:
    first, second = section("a", 20), section("b", 10)
    store = Store(tmp_path)
    store.put(first, {"value": 1})
    store.put(second, {"value": 2})
    store.render([first, second, section("c", 30)])
    page = (tmp_path / "README.md").read_text()
    assert page.index("## B\n\nvalue 2") < page.index("## A\n\nvalue 1")
    assert "## C" not in page, "nothing was measured for it"
    assert page.count("pydantic 2.") == 2
    assert page.count(str(environment()["machine"])) == 2


def test_one_section_is_measured_alone_and_the_others_stay(tmp_path: Path) -> None:
    store = Store(tmp_path)
    results.measure_all([section("a", 1, {"value": 1}), section("b", 2, {"value": 2})], tmp_path, store)
    results.measure_all([section("b", 2, {"value": 3})], tmp_path, store)
    assert {name: one["figures"]["value"] for name, one in store.read().items()} == {"a": 1, "b": 3}


def test_one_that_falls_costs_the_others_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    wanted = [section("a", 1), section("b", 2, {"value": 2})]
    assert results.measure_all(wanted, tmp_path, store) == ["a"]
    assert set(store.read()) == {"b"}
    assert "a could not be measured: it fell" in capsys.readouterr().err


def test_what_another_run_measured_is_taken_with_its_origin(tmp_path: Path) -> None:
    there, here = Store(tmp_path / "there"), Store(tmp_path / "here")
    figures: Figures = {"p50": 1.0, "p99": 2.0, "p99_quietest_round": 1.5, "max": 9.0, "p50_over_floor": 4.2}
    there.put(all_sections()["mqtt"], {"mosquitto": figures})
    text = there.path.read_text().replace(environment()["date"], "2020-02-02")
    there.path.write_text(text)
    assert results.main(["--take", str(there.path), "--out", str(here.folder)]) == 0
    page = (here.folder / "README.md").read_text()
    assert "| mosquitto | 1.00 | 2.00 | 1.50 | 9.00 | 4.2 |" in page
    assert "2020-02-02: " in page


def test_a_section_that_nobody_measured_cannot_be_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Store(tmp_path / "there").put(section("other", 1), {})
    taken = ["--take", str(tmp_path / "there" / "results.json"), "--only", "mqtt", "--out", str(tmp_path / "here")]
    assert results.main(taken) == 1
    assert "has no section mqtt" in capsys.readouterr().err


def test_an_unknown_section_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert results.main(["--only", "modells"]) == 2
    assert "no section modells; known: models, " in capsys.readouterr().err


def test_a_bench_that_writes_nothing_is_told_of() -> None:
    with pytest.raises(RuntimeError, match=r"bench\.page wrote no figures"):
        command("page")


def test_measured_models_go_into_the_registry_and_its_comments_stay() -> None:
    text = (ENGINES / "models.yaml").read_text()
    figures = {"accuracy": {"ap50": 0.1239, "ap": 0.05}, "speed": {"stages": {"infer": {"p50": 12.34}}}}
    written = results._measured(text, {"environment": {"machine": "abacus"}, "figures": {"yolov10n": figures}})
    old, new = yaml.safe_load(text)["models"], yaml.safe_load(written)["models"]
    assert new["yolov10n"].pop("measured") == {
        "accuracy": {"COCO-64": {"ap50": 0.124, "ap": 0.05}},
        "speed": {"abacus": {"infer_ms": 12.3}},
    }
    old["yolov10n"].pop("measured")
    assert new == old
    assert [line for line in written.splitlines() if "#" in line] == [line for line in text.splitlines() if "#" in line]


def test_the_page_is_what_the_stored_figures_say(tmp_path: Path) -> None:
    if not (ENGINES / "results.json").is_file():
        pytest.skip("nothing was measured yet")
    (tmp_path / "results.json").write_text((ENGINES / "results.json").read_text())
    store = Store(tmp_path)
    store.render(all_sections().values(), first=table(store.read()))
    assert (tmp_path / "README.md").read_text() == (ENGINES / "README.md").read_text()
    assert json.loads((tmp_path / "results.json").read_text())["sections"]
