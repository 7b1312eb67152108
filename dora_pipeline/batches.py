"""What is done together: because each by itself costs too much, or because it belongs together."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def batches(items: Iterable[Item], size: Callable[[Item], int], enough: int) -> Iterator[list[Item]]:
    """The items in their order, so many together that their sizes are `enough`; the last may be fewer."""
    batch: list[Item] = []
    together = 0
    for item in items:
        batch.append(item)
        together += size(item)
        if together >= enough:
            yield batch
            batch, together = [], 0
    if batch:
        yield batch


def connected(pairs: Collection[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """The pairs, each once, in lists without a first or second part that one of another list has."""
    by_first = defaultdict[str, list[tuple[str, str]]](list)
    firsts = defaultdict[str, list[str]](list)
    for first, second in pairs:
        by_first[first].append((first, second))
        firsts[second].append(first)
    for first, _ in pairs:
        found = by_first.pop(first, [])
        # More are found on the way.
        for _, second in found:
            for other in firsts.pop(second, ()):
                found += by_first.pop(other, ())
        if found:
            yield found
