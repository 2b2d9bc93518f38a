"""YAML 1.2 (core schema) to plain Python values, each with its line and spelling, and back.

A plain scalar is null, true, false or a number only where YAML 1.2 says so: `on`, `no`, `22:22` and
2024-01-02 are text. Keys are text as they are written, so that a camera may be called 1 or on.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from detector.core.errors import ConfigError

Location = tuple[str | int, ...]
MAX_VALUES = 100_000  # aliases let a few bytes stand for billions of values
MAX_DEPTH = 32
_STANDARD = "tag:yaml.org,2002:"
_NULL = ("", "~", "null", "Null", "NULL")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a value is, counted from 1; `written` is the spelling of a plain scalar that is no text, else None."""

    line: int
    written: str | None = None


class SourceDocument(dict[str, Any]):
    """A document as it was read; `marks` say where each of its values is in the text."""

    def __init__(self, values: dict[str, Any], marks: dict[Location, Mark]) -> None:
        super().__init__(values)
        self.marks = marks


def compose(text: str) -> Node | None:
    """The text's tree of nodes; raises ConfigError that names the line and shows no value."""
    try:
        return _reader().compose(text)  # type: ignore[no-any-return]
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"not valid YAML: {where}{_problem(error, text)}") from None
    except (YAMLError, RecursionError):
        raise ConfigError("not valid YAML: is it a text file?") from None
    except (ValueError, TypeError, AttributeError, KeyError, IndexError):
        raise ConfigError("not valid YAML: a key must be plain text, a value must fit its type") from None


def parse(text: str) -> SourceDocument:
    """A mapping as plain dicts, lists, texts, numbers, booleans and None; raises ConfigError naming the line."""
    root = compose(text)
    if not isinstance(root, MappingNode):
        raise ConfigError("the config must be a mapping of sections: run `detector init` for a starter file")
    builder = _Builder()
    return SourceDocument(builder.value(root, ()), builder.marks)


def dump(document: dict[str, Any]) -> str:
    """A document as YAML in its own order."""
    yaml, out = editor(), io.StringIO()
    yaml.representer.ignore_aliases = lambda *_: True
    yaml.dump(_plain(document), out)
    return out.getvalue()


def editor() -> YAML:
    """Reads and writes YAML with its comments, order, quotes and anchors."""
    yaml = _made(YAML())
    yaml.preserve_quotes = True
    yaml.width = 1 << 16
    return yaml


def _reader() -> YAML:
    return _made(YAML(typ="safe", pure=True))


def _made(yaml: YAML) -> YAML:
    yaml.composer.warn_double_anchors = False  # an anchor may be given again (YAML 1.2.2, 7.1): the latest holds
    return yaml


def _plain(value: Any) -> Any:
    """Without the types of `parse`, which the writer does not know."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _problem(error: MarkedYAMLError, text: str) -> str:
    """What is wrong and what to write, without what the parser quotes: that may be a password."""
    mark, lines = error.problem_mark, text.splitlines()
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab may not indent: use blanks"
    if "flow" in str(error.context):
        return "in { } and [ ] a value that holds { } [ ] or , must be put in quotes, and each bracket closed"
    return _without_text(str(error.problem))


def _without_text(problem: str) -> str:
    """A parser's message without what it quotes: an unquoted password may begin with * or !."""
    if "another document" in problem:
        return "only one document is read: remove this --- and what follows"
    if "mapping values are not allowed" in problem:
        return "a value that holds a colon and a blank must be put in quotes; keys of one section begin in one column"
    if "undefined alias" in problem:
        return "a value that begins with * must be put in quotes"
    if "tag" in problem:
        return "a value that begins with ! must be put in quotes"
    if "cannot start any token" in problem:
        return "a value that begins with % @ ` or a tab must be put in quotes"
    return re.sub(r"(['\"]).{2,}\1", "a text", problem)


class _Builder:
    """Values from nodes; collects their marks, and refuses what would grow beyond bounds."""

    def __init__(self) -> None:
        self.marks: dict[Location, Mark] = {}
        self._count = 0

    def value(self, node: Node, at: Location) -> Any:
        self._count += 1
        # An alias inside its own anchor is as deep as it gets.
        if self._count > MAX_VALUES or len(at) > MAX_DEPTH:
            raise ConfigError("not valid YAML: it holds too many or too deeply nested values")
        if isinstance(node, ScalarNode):
            found = _scalar(node)
            self.marks[at] = Mark(node.start_mark.line + 1, None if isinstance(found, str) else node.value)
            return found
        if str(node.tag) not in (_STANDARD + "map", _STANDARD + "seq"):
            raise _tagged(node)
        self.marks[at] = Mark(node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            return {key: self._child(key_node, item, (*at, key)) for key, key_node, item in self._pairs(node)}
        return [self.value(item, (*at, i)) for i, item in enumerate(node.value)]

    def _child(self, key_node: Node, node: Node, at: Location) -> Any:
        found = self.value(node, at)
        mark = self.marks[at]
        self.marks[at] = Mark(key_node.start_mark.line + 1, mark.written)
        return found

    def _pairs(self, node: MappingNode) -> Iterator[tuple[str, Node, Node]]:
        """Its own keys, after those of the mappings that it merges (<<) and that it does not give itself."""
        own: dict[str, tuple[Node, Node]] = {}
        merged: dict[str, tuple[Node, Node]] = {}
        for key_node, item in node.value:
            if _is_merge(key_node):
                for source in reversed(_merged_nodes(item)):
                    merged |= {key: (k, v) for key, k, v in self._pairs(source)}
                continue
            key = _key(key_node)
            if key in own:
                raise ConfigError(
                    f"not valid YAML: line {key_node.start_mark.line + 1}: the key {key!r} is given twice"
                )
            own[key] = (key_node, item)
        for key, (key_node, item) in {**merged, **own}.items():
            yield key, key_node, item


def _key(node: Node) -> str:
    if not isinstance(node, ScalarNode):
        raise ConfigError(f"not valid YAML: line {node.start_mark.line + 1}: a key must be plain text")
    return str(node.value)


def _is_merge(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.value == "<<" and not node.style


def _merged_nodes(node: Node) -> list[MappingNode]:
    found = node.value if isinstance(node, SequenceNode) else [node]
    if not all(isinstance(each, MappingNode) for each in found):
        raise ConfigError(f"not valid YAML: line {node.start_mark.line + 1}: << takes mappings, such as *NAME")
    return list(found)


def _scalar(node: ScalarNode) -> Any:
    """YAML 1.2's core schema for plain scalars, text for all others."""
    tag, text = str(node.tag), str(node.value)
    kind = tag.removeprefix(_STANDARD)
    if node.style or tag == _STANDARD + "str":
        if kind in ("str", tag):
            return text
    elif kind in ("null", "bool", "int", "float", "timestamp", "value", "merge"):
        found = _resolved(text)
        if not isinstance(found, str) or kind in ("timestamp", "value", "merge") or re.match(r"[-+.\d]", text):
            return found
    raise _tagged(node)


def _tagged(node: Node) -> ConfigError:
    line = node.start_mark.line + 1
    return ConfigError(f"not valid YAML: line {line}: a value that begins with ! must be put in quotes")


def _resolved(text: str) -> Any:
    if text in _NULL:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text) and len(text) < 4000:
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    if _FLOAT.fullmatch(text):
        return float(text)
    if (special := _SPECIAL.fullmatch(text)) is not None:
        return float("nan") if special[1] is None else float(f"{special[1]}inf")
    return text
