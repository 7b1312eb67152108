"""`dora check`: everything that the checks of the tables look at, over the whole warehouse."""

import click

from dora_pipeline.catalog import read_catalog
from dora_pipeline.cli.display import console
from dora_pipeline.config import Home, default_home
from dora_pipeline.errors import DoraError
from dora_pipeline.pipeline.check_results import all_results
from dora_pipeline.pipeline.expectation import CheckResult
from dora_pipeline.pipeline.remedies import remedies
from dora_pipeline.selection import read_selection_log
from dora_pipeline.settings import read_settings
from dora_pipeline.warehouse.reader import open_reader


class ChecksFailed(DoraError):
    """Checks found what must not be."""


@click.command("check")
@click.option("--strict", is_flag=True, help="Fail also where a check only warns.")
def check_command(strict: bool) -> None:
    """Check the whole published warehouse, and say what to do; the worst comes first."""
    home = default_home()
    settings = read_settings(home)
    # A definition that is wrong ends the next run: who checks is told before.
    read_catalog(home)
    if not home.warehouse.exists():
        raise ChecksFailed(f"{home.warehouse}: there is no warehouse yet; {_first_steps(home)}")
    with open_reader(home) as connection:
        results = all_results(connection, settings)
    found = [result for result in results if not result.passed]
    for result in found:
        _show(result)
    failed = [result for result in found if not result.is_warning]
    counts = f"{len(results)} checks: {len(failed)} failed, {len(found) - len(failed)} warned"
    console.print(f"{counts}, {len(results) - len(found)} passed", markup=False)
    refused = found if strict else failed
    if refused:
        named = ", ".join(f"{result.table.table_name} {result.name}" for result in refused)
        raise ChecksFailed(f"the warehouse does not pass: {named}")


def _show(result: CheckResult) -> None:
    level = "warning" if result.is_warning else "error"
    console.print(f"{level}: {result.line}", markup=False, soft_wrap=True)
    console.print(f"  what to do: {result.advice}", markup=False, soft_wrap=True)
    for line in remedies(result):
        console.print(f"  write: {line}", markup=False, soft_wrap=True)


def _first_steps(home: Home) -> str:
    log = read_selection_log(home)
    steps = [] if home.path.exists() else ["`dora init` makes the folder"]
    if not log.selected("deployment"):
        steps.append("`dora select deployments SOURCE…` says where deployments come from")
    if not log.selected("failure"):
        steps.append("`dora select failures SOURCE…` says where failures come from")
    return ", ".join([*steps, "`dora run` makes it"])
