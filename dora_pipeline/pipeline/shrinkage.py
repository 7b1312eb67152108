"""The guard against loads that shrink: a day that would lose much of what it shows stays until that is accepted.

What is compared is what the sources tell, so rules that judge the same events in another way never trip it. A warehouse
that is made anew is compared with what is published.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby

from dora_pipeline.config import Settings
from dora_pipeline.errors import DoraError, SourceIncomplete
from dora_pipeline.files import printable
from dora_pipeline.tables import Table
from dora_pipeline.warehouse.landing import APM
from dora_pipeline.warehouse.shrinkage import (
    COMPARED,
    ComparedDay,
    are_shrinks_meant,
    compared_days,
    compared_with_published,
    rejected_exports,
)
from dora_pipeline.warehouse.writer import Writer

# On days with fewer rows, losing half of them is an everyday case.
_FEWEST_ROWS = 20
_NAMED_DAYS = 3
_ACCEPT = "if the loss is meant, add --accept-shrink (in Dagster: the run tag dora/accept_shrink: true)"


class ShrinkGuard:
    """Holds back the days of a run that would shrink, unless `accepts_shrink`."""

    def __init__(self, writer: Writer, settings: Settings, *, accepts_shrink: bool) -> None:
        self._writer = writer
        self._share = settings.shrink_share
        self._accepts = accepts_shrink
        self._refused: dict[type[Table], dict[tuple[str, date], ComparedDay]] = {}

    def allowed_days(self, table: type[Table], days: Sequence[date]) -> list[date]:
        """The days without those that a source would shrink; these are refused."""
        if self._accepts or are_shrinks_meant(self._writer.connection):
            return list(days)
        shrunken = [day for day in compared_days(self._writer, table, days) if self._is_shrunken(day)]
        self._refused.setdefault(table, {}).update({(found.source, found.day): found for found in shrunken})
        return sorted({*days} - {found.day for found in shrunken})

    def refused_days(self) -> dict[type[Table], set[date]]:
        """The days that were refused, by table; tables without any are left out."""
        return {table: {day for _, day in found} for table, found in self._refused.items() if found}

    def errors(self, table: type[Table]) -> list[SourceIncomplete]:
        """What to tell of the refused days of a table, an error for each source."""
        refused = sorted(self._refused.get(table, {}).values(), key=lambda found: (found.source, found.day))
        return [
            SourceIncomplete(
                source,
                f"{table.table_name}: not loaded: {_named_days(list(found))}; more is lost than shrink_share "
                f"({self._share:g}) allows, so what was there stays. Bring back what the source told and run again, "
                "or, if the loss is meant, run `dora run --accept-shrink` (in Dagster: the run tag "
                "dora/accept_shrink: true)",
            )
            for source, found in groupby(refused, key=lambda found: found.source)
        ]

    def losses(self, errors: Mapping[str, DoraError]) -> list[SourceIncomplete]:
        """Why what landed anew may not take the place of what is published; empty where it may.

        `errors` are those of landing, by source. A source that has rows there has to be whole, and may not lose much of
        a day, or of all days together, or every row; one with a file that cannot be read may lose none, for what that
        told is not known any more.
        """
        if self._accepts:
            return []
        unread = {APM: rejected_exports(self._writer)}
        with self._writer.published() as is_there:
            compared = {table: compared_with_published(self._writer, table) for table in COMPARED if is_there}
        having = {day.source for days in compared.values() for day in days if day.rows_before}
        lacking = [_lacking(source, error) for source, error in errors.items() if source in having]
        shrunken = [
            self._shrunken(table, source, list(days), unread.get(source, []))
            for table, found in compared.items()
            for source, days in groupby(found, key=lambda day: day.source)
            if source not in errors
        ]
        return [*lacking, *(loss for loss in shrunken if loss)]

    def _shrunken(
        self, table: type[Table], source: str, days: Sequence[ComparedDay], unread: Sequence[str]
    ) -> SourceIncomplete | None:
        lessened = [day for day in days if day.rows_after < day.rows_before]
        if unread and lessened:
            others = f" and {len(unread) - 1:,} more files" if unread[1:] else ""
            return SourceIncomplete(
                source,
                f"{table.table_name}: not made anew: {_named_days(lessened)}; {printable(unread[0])}{others} cannot be "
                f"read, so what is published stays. Bring back the file, or remove one with nothing to tell, and run "
                f"again, or, {_ACCEPT}",
            )
        before, after = sum(day.rows_before for day in days), sum(day.rows_after for day in days)
        is_gone = before > 0 and after == 0 and self._share < 1
        shrunken = [day for day in days if self._is_shrunken(day)]
        if not (is_gone or shrunken or self._is_less(before, after)):
            return None
        lost = _named_days(shrunken) if shrunken else f"all days together ({_rows(before, after)})"
        return SourceIncomplete(
            source,
            f"{table.table_name}: not made anew: {lost}; more is lost than shrink_share ({self._share:g}) allows, so "
            f"what is published stays. Bring back what the source told and run again, or, {_ACCEPT}",
        )

    def _is_shrunken(self, day: ComparedDay) -> bool:
        return self._is_less(day.rows_before, day.rows_after)

    def _is_less(self, before: int, after: int) -> bool:
        return before >= _FEWEST_ROWS and after < before * (1 - self._share)


def _lacking(source: str, error: DoraError) -> SourceIncomplete:
    reason = str(error).removeprefix(f"{source}: ")
    lacking = SourceIncomplete(
        source,
        f"{reason}; a warehouse made anew would lack it, so what is published stays. Mend that and run again, or, "
        f"{_ACCEPT}",
    )
    lacking.__cause__ = error
    return lacking


def _named_days(found: Sequence[ComparedDay]) -> str:
    days = [f"{one.day} ({_rows(one.rows_before, one.rows_after)})" for one in found[:_NAMED_DAYS]]
    more = [f"{len(found) - _NAMED_DAYS:,} more days"] if len(found) > _NAMED_DAYS else []
    return ", ".join([*days, *more])


def _rows(before: int, after: int) -> str:
    return f"{before:,} rows before, {after:,} now"
