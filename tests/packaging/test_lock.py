"""The pins of the service's own install: in step with pyproject.toml, each with its hash, for every Python and machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / "requirements"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")


@dataclass(frozen=True, slots=True)
class Pin:
    requirement: Requirement
    hashes: tuple[str, ...]
    wanted_by: frozenset[str]

    @property
    def version(self) -> Version:
        (specifier,) = self.requirement.specifier
        assert specifier.operator == "=="
        return Version(specifier.version)


def pins(name: str) -> list[Pin]:
    """The pins of a lock file."""
    blocks = re.split(
        r"\n(?=\S)", re.sub(r"^#.*\n", "", (LOCKS / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    found = []
    for block in blocks:
        requirement = Requirement(block.splitlines()[0].rstrip("\\ "))
        hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})(?: |$)", block, re.MULTILINE))
        via = re.findall(r"^ +# +(?:via +)?(.+)$", block.replace("# via\n", ""), re.MULTILINE)
        found.append(Pin(requirement, hashes, frozenset(via)))
    return found


def dependencies() -> list[Requirement]:
    """Those of [project] in pyproject.toml; Python 3.10 has no reader of TOML."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text[text.index("\ndependencies = [") : text.index("\n[project.optional-dependencies]")]
    return [Requirement(found) for found in re.findall(r'^  "([^"]+)"', section, re.MULTILINE)]


def environment(python: str, machine: str) -> dict[str, str]:
    return {
        "python_version": python, "python_full_version": f"{python}.1", "platform_machine": machine, "os_name": "posix",
        "sys_platform": "linux", "platform_system": "Linux", "platform_release": "6.1", "implementation_name": "cpython",
        "platform_python_implementation": "CPython", "extra": "",
    }  # fmt: skip


def applies(marker: Marker | None, where: dict[str, str]) -> bool:
    return marker is None or marker.evaluate({**where})


@pytest.mark.parametrize("name", ["service.lock", "build.lock"])
def test_each_package_is_pinned_with_its_hash_and_no_index_is_named(name: str) -> None:
    found = pins(name)
    assert found
    for pin in found:
        assert pin.hashes, pin.requirement
        assert pin.version
        assert pin.wanted_by, pin.requirement
    assert not re.search(r"://|--index|--find-links|\s/", (LOCKS / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_has_one_pin_that_fits(python: str, machine: str) -> None:
    where, found = environment(python, machine), pins("service.lock")
    here = [pin for pin in found if applies(pin.requirement.marker, where)]
    names = [canonicalize_name(pin.requirement.name) for pin in here]
    assert len(names) == len(set(names)), "one version a package"
    by_name = dict(zip(names, here, strict=True))
    for wanted in dependencies():
        if applies(wanted.marker, where):
            pin = by_name[canonicalize_name(wanted.name)]
            assert wanted.specifier.contains(pin.version, prereleases=True), f"{wanted}: run make lock"


def test_nothing_is_pinned_that_nobody_asks_for() -> None:
    found = pins("service.lock")
    known = {canonicalize_name(pin.requirement.name) for pin in found} | {"detector (pyproject.toml)"}
    direct = {canonicalize_name(pin.requirement.name) for pin in found if "detector (pyproject.toml)" in pin.wanted_by}
    assert direct == {canonicalize_name(wanted.name) for wanted in dependencies()}, "run make lock"
    for pin in found:
        assert pin.wanted_by <= known, pin.requirement


def test_the_build_is_pinned_as_pyproject_asks() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (wanted,) = re.findall(r'^requires = \["([^"]+)"\]$', text, re.MULTILINE)
    listed = (LOCKS / "build.in").read_text(encoding="utf-8").splitlines()[-1]
    assert listed == wanted
    (pin,) = [pin for pin in pins("build.lock") if pin.requirement.name == Requirement(wanted).name]
    assert Requirement(wanted).specifier.contains(pin.version)


@pytest.mark.parametrize("place", ["docker/Dockerfile", "Makefile"])
def test_installs_take_what_is_pinned_and_nothing_else(place: str) -> None:
    text = (ROOT / place).read_text(encoding="utf-8").replace("\\\n", " ")
    for lock in ("service.lock", "build.lock"):
        assert re.search(rf"install [^\n]*--require-hashes [^\n]*-r requirements/{lock}", text), lock
    assert "make service" in (ROOT / "systemd" / "README.md").read_text(encoding="utf-8")
