"""`dora select`: selects sources."""

from datetime import date, datetime

import click

from dora_pipeline.cli.display import console, utc_text
from dora_pipeline.cli.parameters import InstantOrDay
from dora_pipeline.config import default_home
from dora_pipeline.identifiers import EventType, suggestion
from dora_pipeline.selection import append_selection
from dora_pipeline.settings import read_settings
from dora_pipeline.sources.registry import SOURCES, sources_of
from dora_pipeline.timeline import start_of

_EVENT_TYPES: dict[str, EventType] = {"deployments": "deployment", "failures": "failure"}


def _completed(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    known = sources_of(_EVENT_TYPES[ctx.params["event_type"]]) if "event_type" in ctx.params else tuple(SOURCES)
    return [name for name in known if name.startswith(incomplete)]


class _Command(click.Command):
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for word, event_type in _EVENT_TYPES.items():
            with formatter.section(f"Sources of {word}"):
                formatter.write_dl([(name, SOURCES[name].lineage) for name in sources_of(event_type)])


@click.command("select", cls=_Command)
@click.argument("event_type", type=click.Choice(list(_EVENT_TYPES)))
@click.argument("names", metavar="SOURCE…", nargs=-1, required=True, shell_complete=_completed)
@click.option(
    "--at",
    type=InstantOrDay(),
    help="From when on the sources count: 2024-05-06T07:08:09Z, or a day of the configured time zone; default: now.",
)
def select_command(event_type: str, names: tuple[str, ...], at: datetime | date | None) -> None:
    """Select the sources of deployments or failures; the first named wins where two tell the same deployment."""
    kind = _EVENT_TYPES[event_type]
    known = sources_of(kind)
    unknown = [name for name in names if name not in known]
    if unknown:
        near = suggestion(unknown[0], known) or f"; there are {', '.join(known)}"
        raise click.UsageError(f"{unknown[0]!r} is not a source of {event_type}{near}")
    home = default_home()
    moment = at if at is None or isinstance(at, datetime) else start_of(at, read_settings(home).zone)
    selection = append_selection(home, kind, names, moment)
    console.print(
        f"{event_type}: {', '.join(selection.sources)} since {utc_text(selection.selected_at)}",
        markup=False,
        soft_wrap=True,
    )
