"""How a run tells what it is doing, without knowing who shows it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Receives a run's steps."""

    def step(self, name: str, done: int, total: int) -> None:
        """`done` of `total` parts of the step `name` are finished."""

    def note(self, message: str) -> None:
        """Something that the user should know, such as a warning."""


class Silence:
    """Shows nothing."""

    def step(self, name: str, done: int, total: int) -> None:
        """Show nothing."""

    def note(self, message: str) -> None:
        """Show nothing."""


@contextmanager
def shown(progress: Progress, name: str) -> Iterator[None]:
    """Show a step of one part for as long as the block lasts."""
    progress.step(name, 0, 1)
    yield
    progress.step(name, 1, 1)
