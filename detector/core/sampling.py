"""Evenly spread samples of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of the items, evenly spread."""
    count = len(items)
    return list(items) if count <= most else [items[index * count // most] for index in range(most)]


class SampleBuffer(Generic[Item]):
    """Keeps at most twice `most` items, evenly spread over all that were put in; their number need not be known."""

    def __init__(self, most: int) -> None:
        self._most, self._every, self._count = max(1, most), 1, 0
        self._items: list[Item] = []

    @property
    def due(self) -> bool:
        """Whether the next item will be kept; otherwise a costly item need not be made."""
        return self._count % self._every == 0

    def put(self, item: Item) -> None:
        if self.due:
            self._items.append(item)
        self._count += 1
        if len(self._items) == 2 * self._most:
            self._items, self._every = self._items[::2], self._every * 2

    def spread(self) -> list[Item]:
        return spread(self._items, self._most)
