"""`dora export`: core and metrics as Parquet files."""

from pathlib import Path

import click

from dora_pipeline.cli.display import console, progress_bars
from dora_pipeline.config import default_home
from dora_pipeline.report.words import counted
from dora_pipeline.warehouse.parquet import export_tables
from dora_pipeline.warehouse.reader import open_reader


@click.command("export")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def export_command(folder: Path) -> None:
    """Write each table and view of core and metrics to FOLDER/SCHEMA/TABLE.parquet, all of one publication.

    A former export in FOLDER is replaced at once when all is written; a folder that holds anything else is refused.
    """
    with open_reader(default_home()) as connection, progress_bars() as bars:
        written = export_tables(connection, folder, bars.step)
    for path, rows in written:
        console.print(f"{path}: {counted(rows, 'row')}", markup=False, soft_wrap=True)
