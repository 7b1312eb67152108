"""Statuspage: incidents that public status pages show, as failures."""

from dora_pipeline.sources.source import Reader, Source
from dora_pipeline.sources.statuspage.settings import SOURCE, StatuspageSettings


def _reader() -> Reader:
    from dora_pipeline.sources.statuspage.normalize import normalize
    from dora_pipeline.sources.statuspage.pages import connect

    return Reader(connect, normalize)


STATUSPAGE = Source(
    name=SOURCE,
    event_type="failure",
    settings=StatuspageSettings,
    lineage="pulled from public status pages of Atlassian's Statuspage; severity is the impact",
    kind="api",
    secrets=(),
    reader=_reader,
)

__all__ = ["STATUSPAGE"]
