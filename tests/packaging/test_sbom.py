"""The bill of materials that make sbom writes: CycloneDX, each pinned package with its hash; and a release's notes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "service.lock"


@pytest.fixture
def command() -> list[str]:
    """The Makefile's, with the program of this environment."""
    program = shutil.which("cyclonedx-py", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if program is None:
        pytest.skip("cyclonedx-py is not installed (pip package cyclonedx-bom)")
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    (recipe,) = re.findall(r"^\t@\$\(SUPPLY\)/bin/cyclonedx-py (.+)$", text, re.MULTILINE)
    return [program, *recipe.split()]


def test_the_bill_of_materials_has_each_package_with_its_hashes(command: list[str], tmp_path: Path) -> None:
    made = []
    for name in ("first.json", "second.json"):
        command[command.index("--output-file") + 1] = str(tmp_path / name)
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True, timeout=110)
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1], "it can be made again, byte for byte"
    bill = json.loads(made[0])
    assert bill["bomFormat"] == "CycloneDX"
    assert tuple(map(int, bill["specVersion"].split("."))) >= (1, 5)
    assert bill["metadata"]["component"]["name"] == "detector"
    listed = {(canonicalize_name(part["name"]), part["version"]): part for part in bill["components"]}
    pinned = re.findall(r"^([\w.-]+)==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(listed) == {(canonicalize_name(name), version) for name, version in pinned}
    for (name, version), part in listed.items():
        assert part["purl"].startswith(f"pkg:pypi/{name}@{version}".replace("+", "%2B")), part["purl"]
        hashes = [found["hashes"] for found in part["externalReferences"] if "hashes" in found]
        assert hashes, name
        assert all(one["alg"] == "SHA-256" and len(one["content"]) == 64 for found in hashes for one in found)
