"""`dora sources`: what is known of every source."""

import click

from dora_pipeline.cli.display import console, moment_text
from dora_pipeline.config import default_home
from dora_pipeline.pipeline.sources import source_states

_MOST_FILES = 20


@click.command("sources")
def sources_command() -> None:
    """Show every source: selected now, first selected, newest event, rows, last error, files that are left out."""
    for state in source_states(default_home()):
        console.print(f"{state.source} ({state.event_type}s)", markup=False)
        for heading, told in (
            ("selected now", "yes" if state.is_selected else "no"),
            ("first selected", moment_text(state.first_selected_at)),
            ("newest event", moment_text(state.newest_event_at)),
            ("rows", f"{state.rows:,}"),
            ("rejected", f"{state.rejected:,}"),
            ("last read", moment_text(state.read_at)),
            ("last error", state.error or "–"),
        ):
            console.print(f"  {heading:<16}{told}", markup=False, soft_wrap=True)
        if state.left_out:
            console.print(f"  {'left out':<16}{len(state.left_out):,} files")
        for name, reason in state.left_out[:_MOST_FILES]:
            console.print(f"    {name}: {reason}", markup=False, soft_wrap=True)
        if len(state.left_out) > _MOST_FILES:
            console.print("    … and others in landing.left_out_files")
