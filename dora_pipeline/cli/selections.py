"""`dora select`: selects sources."""

from datetime import datetime

import click

from dora_pipeline.cli.display import console, moment_text
from dora_pipeline.cli.parameters import Instant
from dora_pipeline.config import default_home
from dora_pipeline.identifiers import EventType
from dora_pipeline.selection import append_selection
from dora_pipeline.sources.registry import sources_of

_EVENT_TYPES: dict[str, EventType] = {"deployments": "deployment", "failures": "failure"}


@click.command("select")
@click.argument("event_type", type=click.Choice(list(_EVENT_TYPES)))
@click.argument("names", metavar="SOURCE…", nargs=-1, required=True)
@click.option("--at", type=Instant(), help="The moment from which the sources count; default now, never in the future.")
def select_command(event_type: str, names: tuple[str, ...], at: datetime | None) -> None:
    """Select the sources of deployments or failures; the first named wins where two tell the same deployment."""
    kind = _EVENT_TYPES[event_type]
    known = sources_of(kind)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.UsageError(f"{unknown[0]!r} is not a source of {event_type}; there are {', '.join(known)}")
    selection = append_selection(default_home(), kind, names, at)
    console.print(
        f"{event_type}: {', '.join(selection.sources)} since {moment_text(selection.selected_at)}",
        markup=False,
        soft_wrap=True,
    )
