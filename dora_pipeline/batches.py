"""What is done together because each by itself costs too much."""

from collections.abc import Callable, Iterable, Iterator
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
