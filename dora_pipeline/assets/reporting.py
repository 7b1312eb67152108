"""What Dagster is given of a load: rows by day, checks, newest rows and a plot, and the days that were not refused."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from urllib.parse import quote

import dagster as dg

from dora_pipeline.assets.lineage import followers, source_key, version_tags
from dora_pipeline.assets.metadata import asset_key
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.pipeline.expectation import CheckResult
from dora_pipeline.pipeline.glimpses import Shown
from dora_pipeline.pipeline.loading import EVENT_TABLES
from dora_pipeline.pipeline.plots import Plot, svg
from dora_pipeline.pipeline.table_loads import Loaded
from dora_pipeline.tables import Table
from dora_pipeline.warehouse.sources import SourceFigures

# What may stand in the address of a picture within < and >.
_PLAIN = " '=/:;,.-"


def report_days(context: dg.AssetExecutionContext, loaded: Loaded) -> None:
    """Give each loaded day its number of rows, and log those of each month."""
    months: dict[str, list[int]] = defaultdict(list)
    for day, rows in loaded.rows.by_day.items():
        context.add_asset_metadata({"dagster/partition_row_count": rows}, partition_key=day.isoformat())
        months[f"{day:%Y-%m}"].append(rows)
    for month, counts in months.items():
        context.log.info(f"{loaded.table.table_name} {month}: {len(counts)} days, {sum(counts):,} rows")


def report_refusals(context: dg.AssetExecutionContext, loaded: Loaded) -> None:
    """Report the days that were loaded although others were refused, and raise why those were.

    A step that fails reports none of its partitions, and the steps behind it are left out.
    """
    if loaded.is_published:
        refused = loaded.refusals.days.get(loaded.table, ())
        if refused:
            _report_made(context, loaded.table, [day for day in loaded.days if day not in refused], loaded.rows.by_day)
        for table in followers(loaded.refusals.days) if loaded.table in EVENT_TABLES else ():
            _report_made(context, table, [day for day in loaded.days if day not in loaded.refusals.waiting_days])
    for error in loaded.refusals.errors[1:]:
        context.log.error(without_credentials(str(error)))
    if loaded.refusals.errors:
        raise loaded.refusals.errors[0]


def report_readings(context: dg.AssetExecutionContext, readings: Mapping[str, SourceFigures]) -> None:
    """Observe each source: rows, rejected events, newest event."""
    for source, figures in readings.items():
        newest = figures.newest_event_at.isoformat() if figures.newest_event_at else None
        metadata = {"rows": figures.rows, "rejected": figures.rejected, "newest_event_at": newest}
        context.log_event(dg.AssetObservation(source_key(source), metadata=metadata))


def materialization(loaded: Loaded) -> dg.MaterializeResult[None]:
    """What a load did, with the results of its checks."""
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(loaded.rows.total),
        "rows": dg.MetadataValue.int(loaded.rows.loaded),
        "rejected": dg.MetadataValue.int(loaded.rows.rejected),
        "days": dg.MetadataValue.int(len(loaded.days)),
        "published": dg.MetadataValue.bool(loaded.is_published),
    }
    return dg.MaterializeResult(metadata=metadata, check_results=_check_results(loaded.checks))


def show_glimpse(context: dg.AssetExecutionContext, loaded: Loaded, last_partition: str | None) -> None:
    """Show the newest rows and the plot of what was loaded, with the run's last partition only.

    Each partition of a run keeps a copy of the metadata that is not given for one of them.
    """
    metadata: dict[str, dg.MetadataValue] = {}
    if loaded.glimpse.plot is not None:
        metadata["last 90 days"] = _picture(loaded.glimpse.plot)
    # Tables of the UI cannot be scrolled and are cut at the side; Markdown opens in a window of its own.
    metadata["newest rows"] = dg.MetadataValue.md(_markdown(loaded.glimpse.rows))
    context.add_asset_metadata(metadata, partition_key=last_partition)


def check_metadata(result: CheckResult) -> dict[str, dg.MetadataValue]:
    """The number of rows against a check, and some of them."""
    return {"wrong": dg.MetadataValue.int(result.wrong), "examples": _table(result.examples)}


def severity(result: CheckResult) -> dg.AssetCheckSeverity:
    """How bad it is where a check fails."""
    return dg.AssetCheckSeverity.WARN if result.is_warning else dg.AssetCheckSeverity.ERROR


def _report_made(
    context: dg.AssetExecutionContext,
    table: type[Table],
    days: Sequence[date],
    rows_by_day: Mapping[date, int] | None = None,
) -> None:
    tags = version_tags(table)
    for day in days:
        metadata = None if rows_by_day is None else {"dagster/partition_row_count": rows_by_day.get(day, 0)}
        context.log_event(
            dg.AssetMaterialization(asset_key(table), partition=day.isoformat(), metadata=metadata, tags=tags)
        )


def _picture(plot: Plot) -> dg.MarkdownMetadataValue:
    # Percent-encoded, since base64 would make it too long to be shown without a click.
    return dg.MetadataValue.md(f"{plot.title}\n\n![](<data:image/svg+xml,{quote(svg(plot), safe=_PLAIN)}>)")


def _check_results(results: Sequence[CheckResult]) -> list[dg.AssetCheckResult]:
    return [
        dg.AssetCheckResult(
            check_name=result.name,
            passed=result.passed,
            severity=severity(result),
            description=None if result.passed else result.sentence,
            metadata=check_metadata(result),
        )
        for result in results
    ]


def _markdown(rows: Sequence[Mapping[str, Shown]]) -> str:
    if not rows:
        return "none"
    head = [" | ".join(rows[0]), " | ".join("---" for _ in rows[0])]
    lines = [" | ".join("" if value is None else _escaped(str(value)) for value in row.values()) for row in rows]
    return "\n".join(f"| {line} |" for line in [*head, *lines])


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~])", r"\\\1", " ".join(text.split()))


def _table(rows: Sequence[Mapping[str, Shown]]) -> dg.MetadataValue:
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows]) if rows else dg.MetadataValue.text("none")
