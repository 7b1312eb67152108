"""`dora report`: write the page of a question as a file."""

import click

from dora_pipeline.cli.display import console
from dora_pipeline.config import default_home
from dora_pipeline.pipeline.reports import DAYS, write_report
from dora_pipeline.report.question import Question


@click.command("report")
@click.option(
    "--days",
    type=click.IntRange(1, 366),
    default=DAYS,
    show_default=True,
    help="Length of the period of the figures, compared with as many days before.",
)
@click.option("--env", help="Only this environment; without it up to six, those of production first.")
@click.option("--team", help="Only this team.")
@click.option("--service", help="Only this service.")
def report_command(days: int, env: str | None, team: str | None, service: str | None) -> None:
    """Write the report page, or the page of one environment, team or service, and print its path."""
    named = {"env": env, "team": team, "service": service}
    question = Question.of([(name, value) for name, value in named.items() if value is not None])
    console.print(str(write_report(default_home(), question, days)), markup=False, soft_wrap=True)
