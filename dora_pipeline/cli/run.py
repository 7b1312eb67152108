"""`dora run`: loads days."""

import time
from datetime import UTC, date, datetime

import click

from dora_pipeline.cli.display import console, messages, progress_bars
from dora_pipeline.cli.parameters import Day
from dora_pipeline.config import Home, default_home
from dora_pipeline.pipeline.runs import run
from dora_pipeline.report.words import counted
from dora_pipeline.settings import read_settings
from dora_pipeline.timeline import Window, day_of


@click.command("run")
@click.option("--from", "first", type=Day(), help="First day to load.")
@click.option("--to", "last", type=Day(), help="Last day to load; default: today.")
@click.option("--rebuild", is_flag=True, help="Make the whole warehouse anew from the raw layer, without network.")
@click.option("--accept-shrink", is_flag=True, help="Load also days that lose much of what they show.")
def run_command(first: date | None, last: date | None, rebuild: bool, accept_shrink: bool) -> None:
    """Read what the sources have told, and load days: all that changed, or those from --from to --to."""
    home = default_home()
    window = _window(first, last, home)
    began = time.monotonic()
    with progress_bars() as bars:
        report = run(home, window, rebuild=rebuild, accepts_shrink=accept_shrink, warns=True, progress=bars)
    loaded = f"{counted(len(report.days), 'day')} loaded" if report.days else "no deployment or failure has changed"
    console.print(f"{loaded} in {time.monotonic() - began:.1f} s", markup=False)
    for table, count in report.rows.items():
        if report.days:
            console.print(f"  {table}: {counted(count, 'row')}", markup=False)
    for warning in report.warnings:
        messages.print(f"warning: {warning.line}", markup=False, soft_wrap=True)
    if report.warnings:
        messages.print("`dora check` says what to do", markup=False)


def _window(first: date | None, last: date | None, home: Home) -> Window | None:
    if first is None and last is None:
        return None
    if first is None:
        raise click.UsageError(f"--to {last} needs --from, the first day to load")
    if last is None:
        last = day_of(datetime.now(UTC), read_settings(home).zone)
        if last < first:
            raise click.UsageError(f"--from {first} is after today, {last}")
    if last < first:
        raise click.UsageError(f"--to {last} is before --from {first}")
    return Window(first, last)
