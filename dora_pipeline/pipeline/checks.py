"""Checks that tell whether loaded days can be trusted, by the table that they look at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.tables import Daily, DeploymentCommits, Deployments, Failures, RejectedEvents, Table
from dora_pipeline.warehouse.checks import check, repeated_keys
from dora_pipeline.warehouse.writer import Writer


@dataclass(frozen=True)
class CheckResult:
    """Whether a check passed on the days, the number of rows against it, and some of them."""

    name: str
    passed: bool
    wrong: int
    examples: pl.DataFrame


@dataclass(frozen=True)
class _Check:
    description: str
    look: Callable[[Writer, type[Table], Sequence[date], Settings], CheckResult]


def _keys_unique(writer: Writer, table: type[Table], days: Sequence[date], settings: Settings) -> CheckResult:
    found = repeated_keys(writer, table, days)
    return CheckResult("keys_unique", found.wrong == 0, found.wrong, found.examples)


def _nothing_before_first_selection(
    writer: Writer, table: type[Table], days: Sequence[date], settings: Settings
) -> CheckResult:
    found = check(writer, "before_first_selection", days)
    return CheckResult("nothing_before_first_selection", found.wrong == 0, found.wrong, found.examples)


def _rates_equal_recount(writer: Writer, table: type[Table], days: Sequence[date], settings: Settings) -> CheckResult:
    found = check(writer, "recount", days)
    return CheckResult("rates_equal_recount", found.wrong == 0, found.wrong, found.examples)


def _rejected_share(writer: Writer, table: type[Table], days: Sequence[date], settings: Settings) -> CheckResult:
    found = check(writer, "rejected_share", days)
    over = found.examples.filter(pl.col("share") > settings.rejected_share)
    return CheckResult("rejected_share", over.is_empty(), over.height, found.examples)


_KEYS = _Check(
    "No two rows have the same key. If it fails: a fault of the pipeline; rebuild with `dora run --rebuild`.",
    _keys_unique,
)
_CHECKS: Mapping[type[Table], Mapping[str, _Check]] = {
    Deployments: {
        "keys_unique": _KEYS,
        "nothing_before_first_selection": _Check(
            "No event counts before its source was first selected. If it fails: load the days again.",
            _nothing_before_first_selection,
        ),
    },
    DeploymentCommits: {"keys_unique": _KEYS},
    Failures: {
        "keys_unique": _KEYS,
        "nothing_before_first_selection": _Check(
            "No event counts before its source was first selected. If it fails: load the days again.",
            _nothing_before_first_selection,
        ),
    },
    RejectedEvents: {
        "rejected_share": _Check(
            "Of each source and reason, no larger share of events is rejected than rejected_share allows. If it "
            "fails: look at the payloads in core.rejected_events and mend the sender.",
            _rejected_share,
        )
    },
    Daily: {
        "keys_unique": _KEYS,
        "rates_equal_recount": _Check(
            "Counts and rates equal a recount of core. If it fails: load the days again.", _rates_equal_recount
        ),
    },
}


def check_descriptions(table: type[Table]) -> dict[str, str]:
    """The checks of a table and what each means."""
    return {name: item.description for name, item in _CHECKS.get(table, {}).items()}


def check_results(writer: Writer, table: type[Table], days: Sequence[date], settings: Settings) -> list[CheckResult]:
    """Run the checks of a table on the days."""
    return [item.look(writer, table, days, settings) for item in _CHECKS.get(table, {}).values()]
