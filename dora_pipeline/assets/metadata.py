"""What the UI shows of a table: columns, counts, checks."""

from collections.abc import Sequence

import dagster as dg

from dora_pipeline.pipeline.checks import CheckResult, check_descriptions
from dora_pipeline.pipeline.runs import Loaded
from dora_pipeline.tables import Table
from dora_pipeline.warehouse.schema import duckdb_type, table_comment


def asset_key(table: type[Table]) -> dg.AssetKey:
    """The asset of a table has its name."""
    return dg.AssetKey(table.table_name.split("."))


def definition_metadata(table: type[Table]) -> dict[str, dg.TableSchema | str]:
    """Column schema and table name."""
    columns = [
        dg.TableColumn(
            name,
            duckdb_type(column),
            column.description,
            constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=table.key() == (name,)),
        )
        for name, column in table.columns().items()
    ]
    return {"dagster/column_schema": dg.TableSchema(columns), "dagster/table_name": table.table_name}


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
        "dagster/row_count": dg.MetadataValue.int(loaded.rows),
        "rejected": dg.MetadataValue.int(loaded.rejected),
        "days": dg.MetadataValue.int(loaded.days),
        "published": dg.MetadataValue.bool(loaded.is_published),
    }
    return dg.MaterializeResult(metadata=metadata, check_results=_check_results(loaded.checks))


def _check_results(results: Sequence[CheckResult]) -> list[dg.AssetCheckResult]:
    return [
        dg.AssetCheckResult(
            check_name=result.name,
            passed=result.passed,
            severity=dg.AssetCheckSeverity.WARN if result.name == "rejected_share" else dg.AssetCheckSeverity.ERROR,
            metadata={
                "wrong": dg.MetadataValue.int(result.wrong),
                "examples": dg.MetadataValue.md(_markdown(result)),
            },
        )
        for result in results
    ]


def _markdown(result: CheckResult) -> str:
    frame = result.examples
    if frame.is_empty():
        return "none"
    head = "| " + " | ".join(frame.columns) + " |\n|" + "---|" * frame.width
    lines = [
        "| " + " | ".join(str(value).replace("|", "\\|")[:200] for value in row) + " |" for row in frame.iter_rows()
    ]
    return "\n".join([head, *lines])
