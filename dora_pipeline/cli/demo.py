"""`dora demo`: the whole pipeline on bundled data, and what it prints."""

import shlex
import shutil
import sys
from pathlib import Path

import click

from dora_pipeline.cli.display import cell, console, progress_bars, show_table, utc_text
from dora_pipeline.demo import BadDeployment, make_demo
from dora_pipeline.report.words import counted, duration_text, share_text

_HEADINGS = (
    "quarter",
    "deployments",
    "lead time (median, commits)",
    "failures",
    "change failure rate",
    "time to restore (median)",
)
_HEADINGS_SINCE_2024 = (
    "quarter",
    "deployments",
    "failed changes",
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
            quarter.name,
            f"{quarter.deployments:,}",
            cell(quarter.lead_time_p50_seconds, duration_text),
            f"{quarter.failures:,}",
            cell(quarter.change_failure_rate, share_text),
            cell(quarter.time_to_restore_p50_seconds, duration_text),
        )
        for quarter in report.quarters
    ]
    show_table(_HEADINGS, rows, "The four metrics of production, metaphysics and rosalind together")
    since_2024 = [
        (
            quarter.name,
            f"{quarter.deployments:,}",
            f"{quarter.failed_changes:,}",
            cell(quarter.failed_change_rate, share_text),
            cell(quarter.recovery_p50_seconds, duration_text),
            cell(quarter.rework_rate, share_text),
        )
        for quarter in report.quarters
    ]
    show_table(_HEADINGS_SINCE_2024, since_2024, "What DORA has measured beside them since 2024")
    console.print(
        "Deployments and commits are those of two public services.\n"
        "Failures are inferred from their rollbacks: a failure lasts from a bad\n"
        "deployment to the rollback that ended it. Nobody declared them."
    )
    for share in report.shares:
        console.print(
            f"Of {share.env}: {counted(share.failures, 'failure')}, {counted(share.failed_changes, 'failed change')}.",
            markup=False,
        )
    console.print()
    _tell(report.bad_deployment)
    console.print()
    for table, count in report.rows.items():
        console.print(f"  {table}: {counted(count, 'row')}", markup=False)
    console.print(f"Prepared in {report.preparing_seconds:.1f} s, loaded in {report.running_seconds:.1f} s.")
    home = shlex.quote(str(report.home.path))
    dora = _command("dora")
    columns = "period, service, env, deployments, failed_change_rate"
    query = f"SELECT {columns} FROM metrics.summary('year', DATE '2018-01-01', DATE '2026-12-31')"
    bad = report.bad_deployment
    steps = (
        ("Query it:", f'DORA_HOME={home} {dora} sql "{query}"'),
        ("Trace a figure:", f"DORA_HOME={home} {dora} explain {bad.day} {bad.service} {bad.env}"),
        ("Ask in a browser:", f"DORA_HOME={home} {dora} dashboard"),
        ("Write the report:", f"DORA_HOME={home} {dora} report"),
        ("See the graph:", f"DORA_HOME={home} {dora} dev"),
        ("Use your own:", f"{dora} init, then {dora} select and {dora} run"),
    )
    console.print("\nNext:", markup=False)
    for number, (title, command) in enumerate(steps, start=1):
        console.print(f"  {number}. {title:<18}{command}", markup=False, soft_wrap=True)


def _tell(bad: BadDeployment) -> None:
    """One bad deployment, from failure to link to rollback to recovery."""
    distance = f"{duration_text(bad.distance_seconds)} after it" if bad.distance_seconds > 0 else "as it went live"
    deployment = f"the deployment of {bad.version} at {utc_text(bad.finished_at)}"
    for line in (
        f"One of them: {bad.service} in {bad.env} failed at {utc_text(bad.started_at)} ({bad.failure}),",
        f"{distance}: rule '{bad.rule}' links that to {deployment}.",
        f"That is a failed change by {bad.way}: {bad.remediation_version} went live again at "
        f"{utc_text(bad.recovered_at)}, {duration_text(bad.recovery_seconds)} later.",
    ):
        console.print(line, markup=False, soft_wrap=True)


def _command(name: str) -> str:
    """How to call a command of this installation: by its name where the shell finds it, else by its path."""
    return name if shutil.which(name) else shlex.quote(str(Path(sys.executable).parent / name))
