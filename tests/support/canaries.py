"""Canary secrets: odd characters around a word that occurs nowhere else, so that the smallest leak is found."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ODD = "#?/ '\"<>@%ä&\\:+;$|"


@dataclass(frozen=True, slots=True)
class Canary:
    """`text` is the secret; `word` its middle, which percent-encoding, JSON, HTML and YAML leave as it is."""

    text: str
    word: str

    @property
    def forms(self) -> tuple[bytes, ...]:
        """Lower case: the word in plain, in hexadecimal, in UTF-16, and at each alignment of Base64."""
        plain = self.word.encode()
        coded = [base64.b64encode(b"\0" * skip + plain)[4 if skip else 0 : -4].lower() for skip in range(3)]
        return plain, plain.hex().encode(), self.word.encode("utf-16-le"), *coded


def canary(name: str, odd: str = ODD) -> Canary:
    """The same one for the same `name` (lower-case letters), between two times `odd`."""
    word = f"canary{name}hidden"
    return Canary(text=f"{odd}{word}{odd}", word=word)


def leaks(canaries: Mapping[str, Canary], data: bytes | str) -> list[str]:
    """The names of the canaries of which a part is in `data`, in any of the forms."""
    found = (data.encode() if isinstance(data, str) else data).lower()
    return [name for name, each in canaries.items() if any(form in found for form in each.forms)]


def leaking_files(canaries: Mapping[str, Canary], folder: Path) -> dict[str, list[str]]:
    """Of the files below `folder`: path and names of canaries, for those with any, in the content or the name."""
    found = {}
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        if names := leaks(canaries, content + bytes(path)):
            found[str(path.relative_to(folder))] = names
    return found


def command_lines(parent: int) -> str:
    """Of the process and its children."""
    found = ""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found += (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ") + "\n"
        except (OSError, IndexError):
            continue
    return found + Path(f"/proc/{parent}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
