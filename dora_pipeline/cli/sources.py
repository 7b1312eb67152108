"""`dora sources`: what is known of every source."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click

from dora_pipeline.cli.display import console, show_plain_table, utc_text
from dora_pipeline.config import default_home
from dora_pipeline.identifiers import EventType
from dora_pipeline.pipeline.sources import SourceState, source_states
from dora_pipeline.report.words import duration_text

_MOST_FILES = 20
_HEADINGS = ("selected", "newest", "rows", "rejected", "read")
_BLANK = ("",) * (1 + len(_HEADINGS))


@click.command("sources")
@click.option("--verbose", is_flag=True, help="Every moment in full, and the names of files that are left out.")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON, for programs.")
def sources_command(verbose: bool, as_json: bool) -> None:
    """Show every source: since when it is selected, newest event, rows, rejected events, how long ago it was read.

    Days are those of UTC. Below stand last errors, folders without exports and files that are left out.
    """
    states = source_states(default_home())
    if as_json:
        click.echo(json.dumps([asdict(state) for state in states], default=datetime.isoformat, indent=2))
    elif verbose:
        _show_blocks(states)
    else:
        _show_table(states)


def _show_table(states: Sequence[SourceState]) -> None:
    first, *others = dict.fromkeys(state.event_type for state in states)
    rows = _rows(states, first)
    for event_type in others:
        rows += [_BLANK, (f"{event_type}s", *_BLANK[1:]), *_rows(states, event_type)]
    show_plain_table((f"{first}s", *_HEADINGS), rows)
    remarks = [f"{state.source}: {remark}" for state in states for remark in _remarks(state)]
    if not any(state.is_selected for state in states):
        remarks.append("no source is selected: `dora select deployments SOURCE…`, `dora select failures SOURCE…`")
    if remarks:
        _say("")
    for remark in remarks:
        _say(remark)


def _rows(states: Sequence[SourceState], event_type: EventType) -> list[tuple[str, ...]]:
    return [_row(state) for state in states if state.event_type == event_type]


def _row(state: SourceState) -> tuple[str, ...]:
    since, newest = state.first_selected_at, state.newest_event_at
    return (
        state.source,
        f"{since:%Y-%m-%d}" if state.is_selected and since else "no",
        f"{newest:%Y-%m-%d}" if newest else "–",
        f"{state.rows:,}",
        f"{state.rejected:,}",
        "–" if state.read_at is None else f"{duration_text((datetime.now(UTC) - state.read_at).total_seconds())} ago",
    )


def _remarks(state: SourceState) -> list[str]:
    remarks = [] if state.error is None else [f"last error: {state.error}"]
    remarks += [f"{folder}: {reason}" for folder, reason in state.empty_folders]
    if state.left_out:
        remarks.append(f"{_files(state)} left out; `dora sources --verbose` names them")
    return remarks


def _show_blocks(states: Sequence[SourceState]) -> None:
    for state in states:
        _say(f"{state.source} ({state.event_type}s)")
        for heading, text in (
            ("selected now", "yes" if state.is_selected else "no"),
            ("first selected", utc_text(state.first_selected_at)),
            ("newest event", utc_text(state.newest_event_at)),
            ("rows", f"{state.rows:,}"),
            ("rejected", f"{state.rejected:,}"),
            ("last read", utc_text(state.read_at)),
            ("last error", state.error or "–"),
            *((folder, reason) for folder, reason in state.empty_folders),
        ):
            _say(f"  {heading:<16}{text}")
        if state.left_out:
            _say(f"  {'left out':<16}{_files(state)}")
        for name, reason in state.left_out[:_MOST_FILES]:
            _say(f"    {name}: {reason}")
        if len(state.left_out) > _MOST_FILES:
            _say("    … and others in landing.left_out_files")


def _files(state: SourceState) -> str:
    return f"{len(state.left_out):,} file{'' if len(state.left_out) == 1 else 's'}"


def _say(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)
