"""What a home remembers of its last publication into a storage, so that the next one notices who else writes there.

Another home that was given the same place, a storage that was brought back from a copy, and a disk that is not mounted
all look like a storage in order: only who wrote there last knows better.
"""

import json
from contextlib import suppress
from pathlib import Path

from dora_pipeline.files import whole_file
from dora_pipeline.warehouse.storage.stored_state import StoredState


class LastPublication:
    """The states that a storage may have after the last publication into it; in a file of the home."""

    def __init__(self, file: Path, address: str) -> None:
        self._file = file
        self._address = address

    def left(self, state: StoredState | None) -> bool:
        """Whether it left this state; None is a storage without one, as it is before the first publication."""
        return _mark(state) in self._all().get(self._address, [None])

    def remember(self, former: StoredState | None, state: StoredState) -> None:
        """Remember, before the manifest is switched, both states: a kill leaves one or the other."""
        known = {**self._all(), self._address: [_mark(former), _mark(state)]}
        # Without it the next publication says a word too many.
        with suppress(OSError), whole_file(self._file) as file:
            file.write(json.dumps(known).encode())

    def _all(self) -> dict[str, list[str | None]]:
        """Of each storage by its address: a home may come back to one."""
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def _mark(state: StoredState | None) -> str | None:
    return state.published_at.isoformat() if state else None
