"""What the UI shows of a table: columns, SQL, counts, checks, newest rows, and a plot."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from urllib.parse import quote

import dagster as dg

from dora_pipeline.config import default_home, project_folder
from dora_pipeline.pipeline.checks import CheckResult, check_descriptions
from dora_pipeline.pipeline.glimpses import Shown
from dora_pipeline.pipeline.plots import Plot, svg
from dora_pipeline.pipeline.table_loads import Loaded
from dora_pipeline.tables import (
    ApmVersionActivity,
    Daily,
    DeploymentCommits,
    Deployments,
    Failures,
    RejectedEvents,
    Services,
    SourceSelections,
    Table,
)
from dora_pipeline.warehouse.queries import statement
from dora_pipeline.warehouse.schema import duckdb_type, table_comment

# What is behind a table besides its own SQL file, by the paths in the package.
_RULES: Mapping[type[Table], Sequence[str]] = {
    SourceSelections: ("selection.py",),
    Services: ("catalog/services.py", "catalog/definitions.py"),
    ApmVersionActivity: ("sources/apm/export_reading.py", "sources/apm/sessions.py"),
    Deployments: (
        "sources/event_api/deployments.py",
        "sources/apm/deployments.py",
        "warehouse/sql/landing/inferred_deployments.sql",
        "warehouse/sql/landing/judged_deployments.sql",
        "warehouse/sql/core/derived_deployments.sql",
    ),
    DeploymentCommits: ("repositories/ranges.py", "pipeline/commits.py"),
    Failures: (
        "sources/event_api/failures.py",
        "sources/pagerduty/normalize.py",
        "sources/datadog/incident_failures.py",
    ),
    RejectedEvents: ("sources/event_rules.py", "sources/apm/rejects.py"),
    Daily: ("warehouse/sql/metrics/summary.sql", "warehouse/sql/metrics/summary_by.sql"),
}
_WITH_SQL = (ApmVersionActivity, Deployments, DeploymentCommits, Failures, RejectedEvents, Daily)

# What may stand in the address of a picture within < and >.
_PLAIN = " '=/:;,.-"

# It looks at the newest materialization of whichever day, so it tells whether runs still happen. Whether what they load
# is new is told by the check sources_fresh.
FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=49), warn_window=timedelta(hours=26))


def asset_key(table: type[Table]) -> dg.AssetKey:
    """The asset of a table has its name."""
    return dg.AssetKey(table.table_name.split("."))


def definition_metadata(table: type[Table]) -> dict[str, dg.TableSchema | dg.MetadataValue | str]:
    """Column schema and table name, the table's SQL, and where to read on."""
    metadata: dict[str, dg.TableSchema | dg.MetadataValue | str] = {
        "dagster/column_schema": _column_schema(table),
        "dagster/table_name": table.table_name,
        "warehouse": dg.MetadataValue.path(str(default_home().warehouse)),
    }
    if table in _WITH_SQL:
        text = statement(table.table_name)
        metadata["SQL"] = dg.MetadataValue.md(f"```sql\n{text}```")
    if table in _RULES:
        metadata["rules"] = dg.MetadataValue.md("\n".join(f"- dora_pipeline/{path}" for path in _RULES[table]))
    for name, path in (("tables and columns", "docs/tables.md"), ("manual", "README.md")):
        metadata[name] = dg.MetadataValue.path(str(project_folder() / path))
    return metadata


def _column_schema(table: type[Table]) -> dg.TableSchema:
    columns = [
        dg.TableColumn(
            name,
            duckdb_type(column),
            column.description,
            constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=table.key() == (name,)),
        )
        for name, column in table.columns().items()
    ]
    return dg.TableSchema(columns)


def description(table: type[Table]) -> str:
    """The comment of the table."""
    return table_comment(table)


def check_specs(table: type[Table]) -> list[dg.AssetCheckSpec]:
    """The checks of a table."""
    return [
        dg.AssetCheckSpec(name, asset=asset_key(table), description=text)
        for name, text in check_descriptions(table).items()
    ]


def materialization(loaded: Loaded) -> dg.MaterializeResult[None]:
    """What a load did, with the results of its checks."""
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(loaded.all_rows),
        "rows": dg.MetadataValue.int(loaded.rows),
        "rejected": dg.MetadataValue.int(loaded.rejected),
        "days": dg.MetadataValue.int(loaded.days),
        "published": dg.MetadataValue.bool(loaded.is_published),
    }
    return dg.MaterializeResult(metadata=metadata, check_results=_check_results(loaded.checks))


def show_glimpse(context: dg.AssetExecutionContext, loaded: Loaded, last_partition: str | None) -> None:
    """Show the newest rows and the plot of what was loaded, with the run's last partition only.

    Each partition of a run keeps a copy of the metadata that is not told for one of them.
    """
    metadata: dict[str, dg.MetadataValue] = {}
    if loaded.glimpse.plot is not None:
        metadata["last 90 days"] = _picture(loaded.glimpse.plot)
    # Tables of the UI cannot be scrolled and are cut at the side; Markdown opens in a window of its own.
    metadata["newest rows"] = dg.MetadataValue.md(_markdown(loaded.glimpse.rows))
    context.add_asset_metadata(metadata, partition_key=last_partition)


def _picture(plot: Plot) -> dg.MarkdownMetadataValue:
    # Percent-encoded, since base64 would make it too long to be shown without a click.
    return dg.MetadataValue.md(f"{plot.title}\n\n![](<data:image/svg+xml,{quote(svg(plot), safe=_PLAIN)}>)")


def _check_results(results: Sequence[CheckResult]) -> list[dg.AssetCheckResult]:
    return [
        dg.AssetCheckResult(
            check_name=result.name,
            passed=result.passed,
            severity=dg.AssetCheckSeverity.WARN if result.is_warning else dg.AssetCheckSeverity.ERROR,
            metadata={
                "wrong": dg.MetadataValue.int(result.wrong),
                "examples": _table(result.examples),
            },
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
