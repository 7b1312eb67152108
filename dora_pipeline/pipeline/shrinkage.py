"""The guard against loads that shrink: a day that would lose much of what it shows stays until that is accepted.

What is compared is what the sources tell, so rules that judge the same events in another way never trip it.
"""

from collections.abc import Sequence
from datetime import date
from itertools import groupby

from dora_pipeline.config import Settings
from dora_pipeline.errors import SourceIncomplete
from dora_pipeline.tables import Table
from dora_pipeline.warehouse.shrinkage import ShrunkenDay, are_shrinks_meant, shrunken_days
from dora_pipeline.warehouse.writer import Writer

# On days with fewer rows, losing half of them is an everyday case.
_FEWEST_ROWS = 20
_NAMED_DAYS = 3


class ShrinkGuard:
    """Holds back the days of a run that would shrink, unless `accepts_shrink`."""

    def __init__(self, writer: Writer, settings: Settings, *, accepts_shrink: bool) -> None:
        self._writer = writer
        self._share = settings.shrink_share
        self._accepts = accepts_shrink
        self._refused: dict[type[Table], dict[tuple[str, date], ShrunkenDay]] = {}

    def allowed_days(self, table: type[Table], days: Sequence[date]) -> list[date]:
        """The days without those that a source would shrink; these are refused."""
        if self._accepts or are_shrinks_meant(self._writer.connection):
            return list(days)
        shrunken = shrunken_days(self._writer, table, days, self._share, _FEWEST_ROWS)
        self._refused.setdefault(table, {}).update({(found.source, found.day): found for found in shrunken})
        return sorted({*days} - {found.day for found in shrunken})

    def refused_days(self) -> dict[type[Table], set[date]]:
        """The days that were refused, by table; tables without any are left out."""
        return {table: {day for _, day in found} for table, found in self._refused.items() if found}

    def errors(self, table: type[Table]) -> list[SourceIncomplete]:
        """What to tell of the refused days of a table, an error for each source."""
        refused = sorted(self._refused.get(table, {}).values(), key=lambda found: (found.source, found.day))
        return [
            SourceIncomplete(source, self._message(table, list(found)))
            for source, found in groupby(refused, key=lambda found: found.source)
        ]

    def _message(self, table: type[Table], found: Sequence[ShrunkenDay]) -> str:
        days = [f"{one.day} ({one.rows_before:,} rows before, {one.rows_after:,} now)" for one in found[:_NAMED_DAYS]]
        more = [f"{len(found) - _NAMED_DAYS:,} more days"] if len(found) > _NAMED_DAYS else []
        return (
            f"{table.table_name}: not loaded: {', '.join([*days, *more])}; more is lost than shrink_share "
            f"({self._share:g}) allows, so what was there stays. Bring back what the source told and run again, or, if "
            "the loss is meant, run `dora run --accept-shrink` (in Dagster: the run tag dora/accept_shrink: true)"
        )
