"""The layout holds: packages and their order, one definition a class name, heavy imports in one file each, plain words."""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
DETECTOR, TESTS = ROOT / "detector", ROOT / "tests"
CODE = ("detector", "tests", "bench", "scripts")
# Test folders that stand for a way of testing, not for a package of detector.
WAYS = {"bench", "e2e", "faults", "gpu", "ha", "night", "packaging", "scripts", "soak", "support"}

# Each is imported in one file: the rest of the product runs without it, and starts without waiting for it.
HEAVY = {
    "onnxruntime": "detector/inference/backends/onnxruntime.py",
    "onnxruntime.transformers": "detector/models/graph/fp16.py",  # a converter of graphs, not the engine
    "openvino": "detector/inference/backends/openvino.py",
    "pycuda": "detector/inference/backends/tensorrt.py",
    "tensorrt": "detector/inference/tensorrt/library.py",
    "ultralytics": "detector/optimize/export/ultralytics_models.py",
}

# Class names that spoke in metaphors; what each is called now: docs/architecture.md.
OLD_CLASSES = {
    "AlarmDesk", "Attention", "BoundedLoad", "CatchUp", "ChosenLoader", "CloseUp", "CloseUps", "Darkroom", "Evidence",
    "Footage", "Gatherer", "Grab", "House", "LatestSlots", "Ledger", "Meter", "MqttLink", "Need", "PostRoom", "Print",
    "Reconfigure", "Rehearsed", "Room", "Seen", "Sender", "ShapedDetector", "Sidecar", "Stage", "Watch", "Wire",
    "Worker", "_Flight", "_Shelf", "_Slot", "_Window",
}  # fmt: skip
# Those of them that no other text has a use for.
OLD_WORDS = (
    "AlarmDesk", "BoundedLoad", "CatchUp", "ChosenLoader", "CloseUps?", "LatestSlots", "MqttLink", "PostRoom",
    "Reconfigure", "ShapedDetector",
)  # fmt: skip
METAPHORS = re.compile(
    rf"\b(?:{'|'.join(OLD_WORDS)})\b|(?<![A-Za-z])(?i:darkroom|gatherer|sidecars?|rehearsals?|errand|post[ _-]?room|night[ _-]?watch|workshop|house|desk|rooms?)(?![a-z])"
)
# "Room" as space on a disk or in memory, and as a place with walls that a camera looks at.
PLAIN_ROOM = re.compile(
    r"(?<![a-z])(?:empty|same|still|living|no|make|makes|making|leave|leaves|has|with|without|there[ _]is|is)[ _]room(?![a-z])"
    r"|(?<![a-z])room[ _](?:for|to|kept)\b|\bLEARN_ROOM\b",
    re.IGNORECASE,
)


@functools.cache
def modules() -> dict[Path, ast.Module]:
    """Every Python file of the project, parsed."""
    return {path: ast.parse(path.read_bytes()) for part in CODE for path in sorted((ROOT / part).rglob("*.py"))}


@functools.cache
def definitions() -> list[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Each class and function with the place where it is defined."""
    return [
        (f"{relative(path)}:{node.lineno}", node)
        for path, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """As `ast.walk`, without what only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield node
            yield from at_run_time(node)


def imports(tree: ast.Module) -> Iterator[str]:
    """Absolute modules that are imported at run time: by a statement, or by name through importlib."""
    for node in at_run_time(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (
                part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)
            )


def package_imports(*, depth: int) -> dict[str, set[str]]:
    """Who imports whom, names cut to `depth` parts; imports for types alone are left out, as at run time."""
    graph = grimp.build_graph("detector", cache_dir=None, exclude_type_checking_imports=True)

    def cut(name: str) -> str:
        return ".".join(name.split(".")[:depth])

    edges: dict[str, set[str]] = {cut(name): set() for name in graph.modules}
    for name in graph.modules:
        edges[cut(name)] |= {cut(other) for other in graph.find_modules_directly_imported_by(name)} - {cut(name)}
    return edges


def levels(edges: Mapping[str, set[str]]) -> int:
    """How many steps the longest way down has; raises CycleError where two import each other."""
    height: dict[str, int] = {}
    for name in TopologicalSorter(edges).static_order():
        height[name] = 1 + max((height[other] for other in edges[name]), default=0)
    return max(height.values())


def test_a_stranger_sees_few_entries() -> None:
    entries = [path.name for path in DETECTOR.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 15, sorted(entries)


def test_packages_stand_in_few_levels_and_no_circle() -> None:
    edges = package_imports(depth=2)
    assert len(edges) >= 12, "the graph holds the packages"
    assert levels(edges) <= 8


def test_no_module_reaches_itself() -> None:
    edges = package_imports(depth=9)
    assert len(edges) > 150, "the graph holds the modules"
    assert levels(edges) >= 8


def test_a_circle_would_be_seen() -> None:
    with pytest.raises(ValueError, match="cycle"):
        levels({"a": {"b"}, "b": {"a"}})


@functools.cache
def importers() -> dict[str, set[str]]:
    """Each heavy module with the files of detector that import it; the longest name that fits counts."""
    found: dict[str, set[str]] = {name: set() for name in HEAVY}
    for path, tree in modules().items():
        if path.is_relative_to(DETECTOR):
            for module in imports(tree):
                fitting = [name for name in HEAVY if f"{module}.".startswith(f"{name}.")]
                if fitting:
                    found[max(fitting, key=len)].add(relative(path))
    return found


@pytest.mark.parametrize("name", sorted(HEAVY))
def test_a_heavy_import_has_one_file(name: str) -> None:
    # TensorRT's module is chosen among two at run time: no statement names it.
    expected = {HEAVY[name]} if name != "tensorrt" else set()
    assert importers()[name] == expected
    assert (ROOT / HEAVY[name]).is_file()


def test_a_class_name_is_defined_once() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for place, node in definitions():
        if isinstance(node, ast.ClassDef):
            places[node.name].append(place)
    twice = [f"{name}: {', '.join(where)}" for name, where in places.items() if len(where) > 1]
    assert not twice, "\n".join(twice)


def test_old_class_names_are_gone() -> None:
    found = [
        f"{place}: {node.name}"
        for place, node in definitions()
        if isinstance(node, ast.ClassDef) and node.name in OLD_CLASSES
    ]
    assert not found, "\n".join(found)


def texts() -> Iterator[Path]:
    """All that people read: code, tests, the page, documents, but not this file, which holds the list."""
    for folder in (*CODE, "docs", "docker", "systemd", "engines"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".md", ".html", ".css", ".js", ".yaml", ".sh", ".cu", ".h"} and path != Path(
                __file__
            ):
                yield path
    yield from (ROOT / name for name in ("README.md", "CHANGELOG.md", "Makefile", "pyproject.toml"))


def test_no_metaphors_are_left() -> None:
    found = [
        f"{relative(path)}:{number}: {line.strip()[:100]}"
        for path in texts() if path.is_file()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if METAPHORS.search(PLAIN_ROOM.sub("", line))
    ]  # fmt: skip
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("self._house = 1", True), ("the post room's clerk", True), ("def open_room(self)", True), ("a Darkroom", True),
        ("no room on the disk", False), ("room for one more", False), ("headroom and mushrooms", False),
        ("the empty room of a clip", False), ("def _make_room(self)", False), ("greenhouse", False),
    ],
)  # fmt: skip
def test_what_counts_as_a_metaphor(line: str, found: bool) -> None:
    assert bool(METAPHORS.search(PLAIN_ROOM.sub("", line))) is found


def test_tests_mirror_the_packages() -> None:
    flat = {path.name for path in TESTS.iterdir() if path.is_file()}
    assert flat <= {"conftest.py", "README.md"}
    packages = {
        path.relative_to(DETECTOR)
        for path in (DETECTOR, *DETECTOR.rglob("*")) if path.is_dir() and path.name != "__pycache__"
    }  # fmt: skip
    strays = [
        relative(path)
        for path in sorted(TESTS.rglob("test_*.py"))
        if path.relative_to(TESTS).parts[0] not in WAYS and path.relative_to(TESTS).parent not in packages
    ]
    assert not strays, "\n".join(strays)


def test_functions_fit_a_page() -> None:
    """100 lines at most; typically 6 to 20 (the long ones wire the service together and name a command's options)."""
    found = [
        f"{place}: {node.name}"
        for place, node in definitions()
        if not isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno >= 100
    ]
    assert not found, "\n".join(found)


def test_files_stay_short() -> None:
    """400 lines at most; typically 150."""
    long = {relative(path): lines for path in modules() if (lines := path.read_bytes().count(b"\n")) > 400}
    assert long == {}
