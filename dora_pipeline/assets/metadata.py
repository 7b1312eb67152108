"""How the page describes a table: its place, owners, columns, SQL, code, and what is expected of it."""

import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from dora_pipeline.code_versions import code_version, files_of, sql_of
from dora_pipeline.config import default_home, project_folder
from dora_pipeline.pipeline.check_results import check_descriptions
from dora_pipeline.tables import (
    Daily,
    FailureLinks,
    Failures,
    Freshness,
    RejectedEvents,
    Services,
    SourceSelections,
    SourceStates,
    Table,
)
from dora_pipeline.warehouse.schema import duckdb_type, table_comment

_DOMAINS: Mapping[type[Table], str] = {
    SourceSelections: "selection",
    Services: "catalog",
    SourceStates: "quality",
    RejectedEvents: "quality",
    Freshness: "quality",
    Failures: "failures",
    FailureLinks: "failures",
    Daily: "dora",
}

# It looks at the newest materialization of whichever day, so it says whether runs still happen. Whether what they load
# is new is said by the check sources_fresh.
FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=49), warn_window=timedelta(hours=26))


def asset_key(table: type[Table]) -> dg.AssetKey:
    """The asset of a table has its name."""
    return dg.AssetKey(table.table_name.split("."))


def table_spec(
    table: type[Table],
    deps: Sequence[dg.AssetKey],
    owners: Sequence[str],
    partitions: dg.DailyPartitionsDefinition | None = None,
) -> dg.AssetSpec:
    """What the page says of a table, whether it is loaded or not."""
    layer = table.table_name.partition(".")[0]
    return dg.AssetSpec(
        asset_key(table),
        deps=deps,
        description=table_comment(table),
        group_name=layer,
        kinds={"duckdb", "polars"} if sql_of(table) is None else {"duckdb", "polars", "sql"},
        tags={"layer": layer, "domain": _DOMAINS.get(table, "deployments")},
        owners=owners,
        code_version=code_version(table),
        metadata=definition_metadata(table),
        partitions_def=partitions,
        freshness_policy=FRESHNESS,
    )


def definition_metadata(table: type[Table]) -> dict[str, Any]:
    """Column schema and table name, the table's SQL, the code that makes it, and where to read on."""
    metadata: dict[str, Any] = {
        "dagster/column_schema": _column_schema(table),
        "dagster/table_name": table.table_name,
        "dagster/code_references": _code_references(table),
        "warehouse": dg.MetadataValue.path(str(default_home().warehouse)),
    }
    if text := sql_of(table):
        metadata["SQL"] = dg.MetadataValue.md(f"```sql\n{text}```")
    for name, path in (("tables and columns", "docs/tables.md"), ("manual", "README.md")):
        metadata[name] = dg.MetadataValue.path(str(project_folder() / path))
    return metadata


def check_specs(table: type[Table]) -> list[dg.AssetCheckSpec]:
    """The checks of a table."""
    return [
        dg.AssetCheckSpec(name, asset=asset_key(table), description=text)
        for name, text in check_descriptions(table).items()
    ]


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


def _code_references(table: type[Table]) -> dg.CodeReferencesMetadataValue:
    package = project_folder() / "dora_pipeline"
    with warnings.catch_warnings():
        # That they may change is no matter for whoever reads the log.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.CodeReferencesMetadataValue(
            code_references=[
                # The page cuts long labels in the middle.
                dg.LocalFileCodeReference(file_path=str(package / path), label=path.removeprefix("warehouse/sql/"))
                for path in files_of(table)
            ]
        )
