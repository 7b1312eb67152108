"""Checks that tell whether loaded days can be trusted, by the table that they look at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.tables import Daily, DeploymentCommits, Deployments, Failures, RejectedEvents, Table
from dora_pipeline.warehouse.checks import Finding, check, repeated_keys
from dora_pipeline.warehouse.writer import Writer


@dataclass(frozen=True)
class CheckResult:
    """Whether a check passed on the days, the number of rows against it, and some of them."""

    name: str
    passed: bool
    wrong: int
    examples: pl.DataFrame


_Look = Callable[[Writer, type[Table], Sequence[date], Settings], Finding]


@dataclass(frozen=True)
class _Check:
    description: str
    look: _Look


def _query(name: str) -> _Look:
    return lambda writer, table, days, settings: check(writer, name, days)


def _shares_over_threshold(writer: Writer, table: type[Table], days: Sequence[date], settings: Settings) -> Finding:
    found = check(writer, "rejected_share", days)
    # All of them are shown, to be looked at.
    return Finding(found.examples.filter(pl.col("share") > settings.rejected_share).height, found.examples)


_KEYS = _Check(
    "No two rows have the same key. If it fails: a fault of the pipeline; rebuild with `dora run --rebuild`.",
    lambda writer, table, days, settings: repeated_keys(writer, table, days),
)
_SELECTED = _Check(
    "No event counts before its source was first selected. If it fails: load the days again.",
    _query("before_first_selection"),
)
_SHARE = _Check(
    "Of each source and reason, no larger share of events is rejected than rejected_share allows. If it fails: look at "
    "the payloads in core.rejected_events and mend the sender.",
    _shares_over_threshold,
)
_RECOUNT = _Check("Counts and rates equal a recount of core. If it fails: load the days again.", _query("recount"))
_CHECKS: Mapping[type[Table], Mapping[str, _Check]] = {
    Deployments: {"keys_unique": _KEYS, "nothing_before_first_selection": _SELECTED},
    DeploymentCommits: {"keys_unique": _KEYS},
    Failures: {"keys_unique": _KEYS, "nothing_before_first_selection": _SELECTED},
    RejectedEvents: {"rejected_share": _SHARE},
    Daily: {"keys_unique": _KEYS, "rates_equal_recount": _RECOUNT},
}


def check_descriptions(table: type[Table]) -> dict[str, str]:
    """The checks of a table and what each means."""
    return {name: item.description for name, item in _CHECKS.get(table, {}).items()}


def check_results(writer: Writer, table: type[Table], days: Sequence[date], settings: Settings) -> list[CheckResult]:
    """Run the checks of a table on the days."""
    results = []
    for name, item in _CHECKS.get(table, {}).items():
        found = item.look(writer, table, days, settings)
        results.append(CheckResult(name, found.wrong == 0, found.wrong, found.examples))
    return results
