"""`dora explain`: the events behind each figure of a service, and those left out, with the reason."""

from datetime import date
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import duckdb

from dora_pipeline.cli.display import console
from dora_pipeline.cli.parameters import Days
from dora_pipeline.cli.results import FORMATS, show
from dora_pipeline.config import default_home
from dora_pipeline.errors import DoraError
from dora_pipeline.pipeline.aliases import environment_names
from dora_pipeline.report.words import some_of
from dora_pipeline.settings import read_settings
from dora_pipeline.warehouse.queries import first_row, quoted
from dora_pipeline.warehouse.reader import open_reader

_KNOWN = """
    SELECT service, env FROM core.deployments
    UNION SELECT service, env FROM core.failures
    UNION SELECT service, env FROM landing.deployments
    UNION SELECT service, env FROM landing.failures
    UNION SELECT service, env FROM core.rejected_events
"""

# How many events each figure is made of, and how many are left out, by reason.
_COUNTS = """
    SELECT figure, COUNT(*) FILTER (WHERE is_counted) AS counted,
        STRING_AGG(DISTINCT reason, ', ' ORDER BY reason) AS left_out
    FROM (
        SELECT figure, is_counted, rowid AS place,
            reason || ': ' || COUNT(*) OVER (PARTITION BY figure, reason) AS reason
        FROM explained
    )
    GROUP BY figure ORDER BY MIN(place)
"""
_SPAN = "SELECT MIN(day), MAX(day) FROM core.events WHERE service = ? AND (env = ? OR CAST(? AS VARCHAR) IS NULL)"
# The columns that a terminal has room for; every other format has all.
_NARROW = "SELECT figure, is_counted AS counted, reason, occurred_at, env, event_id, seconds, details FROM explained"


class NothingToExplain(DoraError):
    """No event of the service, or of the service in the environment, is known."""


@click.command("explain")
@click.argument("days", type=Days(), metavar="DAY|FROM..TO")
@click.argument("service")
@click.argument("env", required=False)
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--zone", is_flag=True, help="Show times in the time zone that is configured, in place of UTC.")
def explain_command(days: tuple[date, date], service: str, env: str | None, form: str, zone: bool) -> None:
    """Show the events behind each figure of SERVICE, and those that are left out, with the reason.

    The days are those of the configured time zone, both included. Without ENV: of every environment. A table shows the
    columns that fit, and every other format all of them. ENV may be an alias of the settings.
    """
    first, last = days
    home = default_home()
    with open_reader(home) as connection, TemporaryDirectory(prefix="dora-explain-") as scratch:
        if zone:
            connection.execute(f"SET TimeZone = {quoted(read_settings(home).timezone)}")
        env = _known_env(connection, service, env)
        names = f"{quoted(service)}, {'NULL' if env is None else quoted(env)}"
        explained = f"metrics.explain(DATE '{first}', DATE '{last}', {names})"
        connection.execute(f"CREATE TEMP TABLE explained AS FROM {explained}")
        if form == "table" and first_row(connection, "SELECT 1 FROM explained LIMIT 1") is None:
            _show_nothing(connection, days, service, env)
            return
        for query in (_COUNTS, _NARROW) if form == "table" else ("FROM explained",):
            show(connection, query, form, Path(scratch))


def _show_nothing(
    connection: duckdb.DuckDBPyConnection, days: tuple[date, date], service: str, env: str | None
) -> None:
    where = service if env is None else f"{service} in {env}"
    when = "..".join(dict.fromkeys(map(str, days)))
    oldest, newest = first_row(connection, _SPAN, [service, env, env]) or (None, None)
    advice = f"its deployments and failures are of {oldest} to {newest}" if oldest else "look into core.rejected_events"
    console.print(f"{where} has no event on {when}, none left out either; {advice}", markup=False, soft_wrap=True)


def _known_env(connection: duckdb.DuckDBPyConnection, service: str, env: str | None) -> str | None:
    """The name of the environment, also by an alias of it."""
    pairs = connection.execute(_KNOWN).fetchall()
    _require("service", service, {pair[0] for pair in pairs})
    if env is None:
        return None
    envs = {pair[1] for pair in pairs if pair[0] == service}
    name = environment_names(connection)(env)
    if env not in envs and name in envs:
        return name
    _require(f"environment of {service}", env, envs)
    return env


def _require(kind: str, name: str, known: set[str | None]) -> None:
    if name in known:
        return
    names = sorted(filter(None, known))
    near = get_close_matches(name, names, n=3, cutoff=0.5) or names[:3]
    advice = f"; there is {some_of(near, len(names))}" if near else "; `dora run` reads what sources have"
    raise NothingToExplain(f"{name!r} is no {kind} that an event names{advice}")
