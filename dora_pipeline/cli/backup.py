"""`dora backup` and `dora restore`."""

from pathlib import Path

import click

from dora_pipeline.cli.dagster_home import DagsterHome
from dora_pipeline.cli.display import console, progress_bars
from dora_pipeline.config import default_home
from dora_pipeline.pipeline import backups


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--with-dagster", is_flag=True, help="Also the history of Dagster: runs, partitions, schedules.")
def backup_command(file: Path, with_dagster: bool) -> None:
    """Write FILE, a .tar.gz with all of the home that cannot be made again. Runs wait, the intake goes on."""
    home = default_home()
    with progress_bars() as bars:
        report = backups.back_up(home, file, bars, DagsterHome(home).path if with_dagster else None)
    _say(f"{file}: {len(report.files):,} files, {file.stat().st_size:,} bytes", report)


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def restore_command(file: Path) -> None:
    """Restore FILE, which `dora backup` wrote, into an empty DORA_HOME."""
    home = default_home()
    with progress_bars() as bars:
        report = backups.restore(home, file, bars)
    _say(f"{home.path}: {len(report.files):,} files restored; now `dora run` makes the warehouse", report)


def _say(text: str, report: backups.BackupReport) -> None:
    for line in (text, *report.notes):
        console.print(line, markup=False, soft_wrap=True)
