"""New values put into a YAML text: its comments, order, quotes and anchors stay."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.util import load_yaml_guess_indent

from detector.core.errors import ConfigError

from .yaml_text import compose, dump, editor, parse

Document = dict[str, Any]


def updated(text: str, document: Document) -> tuple[str, bool]:
    """`text` changed to say `document`, and whether every comment that stood on a line of its own is still there.

    Where the text cannot be changed so (no mapping, anchors that contradict), it is written as a whole.
    """
    try:
        changed = _edited(_without_removed(text, document), document)
        if parse(changed) == document:
            return changed, _comments(text) <= _comments(changed)
    except (ConfigError, YAMLError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        pass
    return dump(document), not _comments(text)


def _comments(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines() if line.lstrip().startswith("#")}


def _without_removed(text: str, document: Document) -> str:
    """The text without the lines of keys that are gone; what is in flow style is left to the editor.

    Taken out as lines, since the editor keeps a comment with the value before it and would drop both.
    """
    root = compose(text)
    if not isinstance(root, MappingNode):
        return text
    lines = text.splitlines(keepends=True)
    for first, last in sorted(_removed(root, document), reverse=True):
        del lines[first : last + 1]
    changed = "".join(lines)
    return changed if isinstance(compose(changed), MappingNode) else text


def _removed(node: MappingNode, document: Document) -> Iterator[tuple[int, int]]:
    """The first and last line, from 0, of each key that `document` has no more."""
    if node.flow_style:
        return
    for key, value in node.value:
        name = str(key.value)
        if name == "<<":
            continue
        if name not in document:
            yield key.start_mark.line, max(key.end_mark.line, _last_line(value))
        elif isinstance(value, MappingNode) and isinstance(document[name], dict) and document[name]:
            yield from _removed(value, document[name])


def _last_line(node: Node) -> int:
    """Without what follows a block: there the parser ends a node behind the comments after it."""
    if isinstance(node, MappingNode) and not node.flow_style and node.value:
        return max(_last_line(each) for pair in node.value for each in pair)
    if isinstance(node, SequenceNode) and not node.flow_style and node.value:
        return max(map(_last_line, node.value))
    is_block = isinstance(node, ScalarNode) and node.style in ("|", ">")
    return int(node.end_mark.line) - is_block


def _edited(text: str, document: Document) -> str:
    yaml = editor()
    tree, indent, offset = load_yaml_guess_indent(text, yaml=yaml)
    # The guess knows block sequences alone; mappings keep the two blanks that the starter file has.
    yaml.indent(mapping=_mapping_indent(text), sequence=indent or 2, offset=offset or 0)
    shared = {identity for identity, count in _counted(tree, {}).items() if count > 1}
    _merge(tree, parse(text), document, shared)
    out = io.StringIO()
    yaml.dump(tree, out)
    return out.getvalue()


def _mapping_indent(text: str) -> int:
    """The first indentation of a key below a key."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "-"))]
    widths = [len(line) - len(line.lstrip(" ")) for line in lines]
    return next((width for width in widths if width), 2)


def _counted(value: Any, counts: dict[int, int]) -> dict[int, int]:
    """How often each container of the tree is referred to."""
    if isinstance(value, (CommentedMap, CommentedSeq)):
        counts[id(value)] = counts.get(id(value), 0) + 1
        if counts[id(value)] == 1:
            for item in value.values() if isinstance(value, CommentedMap) else value:
                _counted(item, counts)
    return counts


def _merge(tree: CommentedMap, old: Document, new: Document, shared: set[int]) -> None:
    names = {str(key): key for key in tree}
    for name in old:
        if name not in new:
            del tree[names[name]]
    for name, value in new.items():
        if name not in old:
            # Before the last key, behind which the comments and blank lines of the next section hang.
            tree.insert(max(0, len(tree) - 1), name, _styled(value))
        elif value != old[name] or type(value) is not type(old[name]):
            _change(tree, names[name], old[name], value, shared)


def _change(tree: Any, key: Any, old: Any, new: Any, shared: set[int]) -> None:
    """Set tree[key], in place where it is a container of its own."""
    child = tree[key]
    own = id(child) not in shared
    if own and isinstance(child, CommentedMap) and isinstance(old, dict) and isinstance(new, dict):
        _merge(child, old, new, shared)
    elif own and isinstance(child, CommentedSeq) and isinstance(old, list) and isinstance(new, list):
        for i, (before, after) in enumerate(zip(old, new, strict=False)):
            if before != after:
                _change(child, i, before, after, shared)
        del child[len(new) :]
        child.extend(_styled(item) for item in new[len(old) :])
    else:
        tree[key] = _styled(new)


def _styled(value: Any) -> Any:
    """A new value for the tree: lists in one line, as points and names are written by hand."""
    if isinstance(value, dict):
        return CommentedMap((k, _styled(v)) for k, v in value.items())
    if isinstance(value, list):
        items = CommentedSeq(_styled(item) for item in value)
        items.fa.set_flow_style()
        return items
    return value
