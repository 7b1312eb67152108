"""`dora demo`: the whole pipeline on bundled data, and what it prints."""

import shlex
import shutil
import sys
from pathlib import Path

import click

from dora_pipeline.cli.display import console, duration_text, progress_bars, share_text, show_table
from dora_pipeline.demo import make_demo

_HEADINGS = (
    "quarter",
    "deployments",
    "lead time (median, commits)",
    "failures",
    "change failure rate",
    "time to restore (median)",
)
_HEADINGS_OF_YEARS = (
    "year",
    "deployments",
    "lead time (median, commits)",
    "failed change rate",
    "recovery time (median)",
    "rework rate",
)


@click.command("demo")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("dora-demo"), show_default=True, help="Where to put it."
)
def demo_command(folder: Path) -> None:
    """Run the whole pipeline on bundled real data, and print the four metrics."""
    with progress_bars() as bars:
        report = make_demo(folder, bars)
    rows = [
        (
            f"{quarter.first_day.year} Q{quarter.first_day.month // 3 + 1}",
            f"{quarter.deployments:,}",
            duration_text(quarter.lead_time_p50_seconds),
            f"{quarter.failures:,}",
            share_text(quarter.change_failure_rate),
            duration_text(quarter.time_to_restore_p50_seconds),
        )
        for quarter in report.quarters
    ]
    show_table(_HEADINGS, rows, "The four metrics of production, metaphysics and rosalind together")
    years = [
        (
            str(year.first_day.year),
            f"{year.deployments:,}",
            duration_text(year.lead_time_p50_seconds),
            share_text(year.failed_change_rate),
            duration_text(year.recovery_p50_seconds),
            share_text(year.rework_rate),
        )
        for year in report.years
    ]
    show_table(_HEADINGS_OF_YEARS, years, "DORA's five since 2024, of the same deployments")
    console.print(
        "Deployments and commits are those of two public services.\n"
        "Failures are inferred from their rollbacks: a failure lasts from a bad\n"
        "deployment to the rollback that ended it. Nobody declared them."
    )
    console.print()
    for table, count in report.rows.items():
        console.print(f"  {table}: {count:,} rows", markup=False)
    console.print(f"Prepared in {report.preparing_seconds:.1f} s, loaded in {report.running_seconds:.1f} s.")
    home = shlex.quote(str(report.home.path))
    dora = _command("dora")
    columns = "period, service, env, deployments, failed_change_rate"
    query = f"SELECT {columns} FROM metrics.summary('year', DATE '2018-01-01', DATE '2026-12-31')"
    console.print("\nNext:", markup=False)
    console.print(f'  1. Query it:        DORA_HOME={home} {dora} sql "{query}"', markup=False, soft_wrap=True)
    console.print(f"  2. See the graph:   DORA_HOME={home} {dora} dev", markup=False, soft_wrap=True)
    console.print(f"  3. Use your own:    {dora} init, then {dora} select and {dora} run", markup=False, soft_wrap=True)


def _command(name: str) -> str:
    """How to call a command of this installation: by its name where the shell finds it, else by its path."""
    return name if shutil.which(name) else shlex.quote(str(Path(sys.executable).parent / name))
