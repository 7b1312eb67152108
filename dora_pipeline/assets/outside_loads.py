"""Days that no run of Dagster loaded, as by `dora run`: the page is to show them as materialized too.

The warehouse says what was loaded when (landing.loads). How far that was reported is noted beside the events, in the
storage of Dagster, after each of its transactions: whoever is killed leaves the rest to the next report.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from dora_pipeline.assets.event_log import store_evaluations, store_materializations
from dora_pipeline.assets.lineage import version_tags
from dora_pipeline.assets.metadata import asset_key
from dora_pipeline.assets.partitions import daily_partitions, days_until
from dora_pipeline.assets.readiness import OBSTACLES, ready_home, skipped
from dora_pipeline.assets.reporting import check_metadata, severity
from dora_pipeline.batches import batches
from dora_pipeline.config import Home, default_home
from dora_pipeline.pipeline.expectation import CheckResult
from dora_pipeline.pipeline.outside_loads import outside_loads
from dora_pipeline.settings import read_settings
from dora_pipeline.timeline import day_of
from dora_pipeline.warehouse.loads import Load

_REPORTED = "dora/outside_loads"
# A tick is ended by force after a minute; the next one goes on.
_SECONDS_A_TICK = 20.0
# They are stored in one transaction, for which the runs of Dagster wait.
_DAYS_AT_ONCE = 1000


def outside_loads_sensor(partitions: dg.DailyPartitionsDefinition) -> dg.SensorDefinition:
    """The sensor that reports them."""

    @dg.sensor(
        name="outside_loads",
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Shows the days that `dora run` loaded as materialized, with their checks.",
    )
    def report(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        try:
            home, _ = ready_home(partitions)
            days = report_outside_loads(context.instance, home, partitions, _SECONDS_A_TICK)
        except OBSTACLES as error:
            return skipped(error)
        return dg.SkipReason(f"{days:,} days of tables reported" if days else "nothing was loaded outside of Dagster")

    return report


def report_outside_loads(
    instance: dg.DagsterInstance,
    home: Home,
    partitions: dg.DailyPartitionsDefinition,
    seconds: float | None = None,
) -> int:
    """Report what was loaded since the last report, and how the checks of these tables stand; the number of days.

    A report that takes longer than `seconds` ends early, and the next one goes on. Raises DoraError where the
    published warehouse cannot be read.
    """
    state, reported = _published(home), _reported(instance)
    if state is None or reported.get("published") == state:
        return 0
    since = datetime.fromisoformat(reported["loaded_at"]) if "loaded_at" in reported else None
    settings = read_settings(home)
    days = days_until(partitions, day_of(datetime.now(UTC), settings.zone))
    loads, checks = outside_loads(home, settings, since, days)
    began, done = time.monotonic(), 0
    for batch in batches(loads, lambda load: len(load.rows), _DAYS_AT_ONCE):
        if seconds is not None and time.monotonic() - began > seconds:
            return done
        if not _is_stored(instance, batch[-1]):
            store_materializations(instance, [event for load in batch for event in _events(load)])
        done += sum(len(load.rows) for load in batch)
        reported["loaded_at"] = batch[-1].loaded_at.isoformat()
        _note(instance, reported)
    store_evaluations(instance, _evaluations(checks))
    _note(instance, {**reported, "published": state})
    return done


def _is_stored(instance: dg.DagsterInstance, load: Load) -> bool:
    """Whether a load is stored already, by a report that was killed before it noted that."""
    newest = instance.get_latest_materialization_event(asset_key(load.table))
    return newest is not None and newest.timestamp == load.loaded_at.timestamp()


def _events(load: Load) -> Iterator[tuple[dg.AssetMaterialization, datetime]]:
    key, tags = asset_key(load.table), version_tags(load.table, load.code_version)
    for day, rows in load.rows.items():
        name = "dagster/row_count" if day is None else "dagster/partition_row_count"
        partition = None if day is None else day.isoformat()
        yield dg.AssetMaterialization(key, partition=partition, metadata={name: rows}, tags=tags), load.loaded_at


def _evaluations(checks: Sequence[CheckResult]) -> list[dg.AssetCheckEvaluation]:
    return [
        dg.AssetCheckEvaluation(
            asset_key=asset_key(result.table),
            check_name=result.name,
            passed=result.passed,
            severity=severity(result),
            description=None if result.passed else result.sentence,
            metadata=check_metadata(result),
        )
        for result in checks
    ]


def _published(home: Home) -> str | None:
    """What differs from one publication to the next; None before the first."""
    try:
        status = home.warehouse.stat()
    except FileNotFoundError:
        return None
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def _reported(instance: dg.DagsterInstance) -> dict[str, str]:
    text = instance.daemon_cursor_storage.get_cursor_values({_REPORTED}).get(_REPORTED)
    return dict(json.loads(text)) if text else {}


def _note(instance: dg.DagsterInstance, reported: Mapping[str, str]) -> None:
    instance.daemon_cursor_storage.set_cursor_values({_REPORTED: json.dumps(reported)})


def report_home() -> None:
    """Report to the instance of DAGSTER_HOME what the home of DORA_HOME has loaded, before Dagster starts."""
    home = default_home()
    with dg.DagsterInstance.get() as instance:
        report_outside_loads(instance, home, daily_partitions(home))


if __name__ == "__main__":
    report_home()
