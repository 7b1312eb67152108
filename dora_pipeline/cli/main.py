"""The commands of `dora`. What they do is in the rooms below; here are words, options and exit codes."""

import os
import sys
import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from dora_pipeline.cli.demo import run_demo
from dora_pipeline.cli.display import console, messages, progress_bars
from dora_pipeline.cli.files import write_example_home
from dora_pipeline.cli.queries import show_query
from dora_pipeline.config import default_home
from dora_pipeline.errors import DoraError
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.pipeline.runs import run
from dora_pipeline.pipeline.sources import source_states
from dora_pipeline.selection import SOURCES_OF, EventType, append_selection
from dora_pipeline.timeline import InstantError, Window, instant

_EVENT_TYPES: dict[str, EventType] = {"deployments": "deployment", "failures": "failure"}


class _Instant(click.ParamType[datetime]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return instant(value)
        except InstantError as error:
            self.fail(str(error), param, ctx)


class _Day(click.ParamType[date]):
    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a day; write it as 2024-05-06", param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show where an error came from.")
@click.version_option(package_name="dora-pipeline")
def dora(debug: bool) -> None:
    """DORA metrics from deployments and failures. All files live in the folder DORA_HOME."""


@dora.command()
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("dora-demo"), show_default=True, help="Where to put it."
)
def demo(folder: Path) -> None:
    """Run the whole pipeline on bundled real data, and print the four metrics."""
    run_demo(folder)


@dora.command()
def init() -> None:
    """Write commented settings, an empty selection log and an example service definition. Never overwrites."""
    for path, written in write_example_home(default_home()):
        console.print(f"{'wrote' if written else 'kept '} {path}", markup=False, soft_wrap=True)


@dora.command()
def sources() -> None:
    """Show every source: selected now, first selected, newest event, rows, last error."""
    for state in source_states(default_home()):
        console.print(f"{state.source} ({state.event_type}s)", markup=False)
        for heading, told in (
            ("selected now", "yes" if state.is_selected else "no"),
            ("first selected", _moment_text(state.first_selected_at)),
            ("newest event", _moment_text(state.newest_event_at)),
            ("rows", f"{state.rows:,}"),
            ("rejected", f"{state.rejected:,}"),
            ("last read", _moment_text(state.read_at)),
            ("last error", state.error or "–"),
        ):
            console.print(f"  {heading:<16}{told}", markup=False, soft_wrap=True)


@dora.command()
@click.argument("event_type", type=click.Choice(list(_EVENT_TYPES)))
@click.argument("names", metavar="SOURCE…", nargs=-1, required=True)
@click.option(
    "--at", type=_Instant(), help="The moment from which the sources count; default now, never in the future."
)
def select(event_type: str, names: tuple[str, ...], at: datetime | None) -> None:
    """Select the sources of deployments or failures; the first named wins where two tell the same deployment."""
    kind = _EVENT_TYPES[event_type]
    unknown = [name for name in names if name not in SOURCES_OF[kind]]
    if unknown:
        raise click.UsageError(
            f"{unknown[0]!r} is not a source of {event_type}; there are {', '.join(SOURCES_OF[kind])}"
        )
    selection = append_selection(default_home(), kind, names, at)
    console.print(
        f"{event_type}: {', '.join(selection.sources)} since {_moment_text(selection.selected_at)}",
        markup=False,
        soft_wrap=True,
    )


@dora.command(name="run")
@click.option("--from", "first", type=_Day(), help="First day to load.")
@click.option("--to", "last", type=_Day(), help="Last day to load.")
@click.option("--rebuild", is_flag=True, help="Make the whole warehouse anew from the raw layer, without network.")
def run_command(first: date | None, last: date | None, rebuild: bool) -> None:
    """Read what the sources have told, and load days: all that changed, or those from --from to --to."""
    window = _window(first, last)
    began = time.monotonic()
    with progress_bars() as bars:
        report = run(default_home(), window, rebuild=rebuild, progress=bars)
    loaded = f"{len(report.days):,} days loaded" if report.days else "nothing has changed"
    console.print(f"{loaded} in {time.monotonic() - began:.1f} s", markup=False)
    for table, count in report.rows.items():
        if report.days:
            console.print(f"  {table}: {count:,} rows", markup=False)
    if report.stale:
        console.print(f"{len(report.stale):,} other days have changed too; `dora run` loads them", markup=False)


@dora.command()
@click.argument("query")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def sql(query: str, form: str) -> None:
    """Query the warehouse, read-only."""
    show_query(default_home(), query, form)


def main() -> None:
    """Run a command: 0 done, 1 failed with one clear line on stderr, 2 wrong usage."""
    try:
        dora(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        messages.print("stopped")
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read the output has seen enough; what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        messages.print("stopped")
        sys.exit(1)
    except Exception as error:
        if "--debug" in sys.argv[1:]:
            raise
        known = isinstance(error, DoraError)
        told = str(error) if known else f"{type(error).__name__}: {error} (not expected; `dora --debug …` shows where)"
        messages.print(f"dora: {without_credentials(told)}", markup=False, soft_wrap=True)
        sys.exit(1)


def _window(first: date | None, last: date | None) -> Window | None:
    if first is None and last is None:
        return None
    if first is None or last is None:
        raise click.UsageError("give both --from and --to, or none of them")
    if last < first:
        raise click.UsageError(f"--to {last} is before --from {first}")
    return Window(first, last)


def _moment_text(moment: datetime | None) -> str:
    return "–" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%SZ")
