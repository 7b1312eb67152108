"""`dora report`: write the report page."""

import click

from dora_pipeline.cli.display import console
from dora_pipeline.config import default_home
from dora_pipeline.pipeline.reports import DAYS, write_report


@click.command("report")
@click.option(
    "--days",
    type=click.IntRange(1, 366),
    default=DAYS,
    show_default=True,
    help="Length of the period of the figures, compared with as many days before.",
)
def report_command(days: int) -> None:
    """Write the report page, and print its path."""
    console.print(str(write_report(default_home(), days)), markup=False, soft_wrap=True)
