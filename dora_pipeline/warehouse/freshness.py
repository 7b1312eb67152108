"""How new the tables are, for the warehouse itself to say."""

from datetime import datetime

from dora_pipeline.tables import Freshness
from dora_pipeline.warehouse.queries import statement
from dora_pipeline.warehouse.writer import Writer


def write_freshness(writer: Writer, last_run_at: datetime, code_version: str) -> None:
    """Replace metrics.freshness by how the tables are now; `last_run_at` is UTC."""
    with writer.transaction() as connection:
        connection.execute(f"DELETE FROM {Freshness.table_name}")
        connection.execute(
            f"INSERT INTO {Freshness.table_name} BY NAME {statement(Freshness.table_name)}",
            {"last_run_at": last_run_at, "code_version": code_version},
        )
