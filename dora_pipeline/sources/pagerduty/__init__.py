"""PagerDuty: incidents of its REST API v2 and its v3 webhooks as failures."""

from dora_pipeline.sources.pagerduty.settings import SOURCE, TOKEN, PagerDutySettings
from dora_pipeline.sources.source import Reader, Source


def _reader() -> Reader:
    from dora_pipeline.sources.pagerduty.incidents import connect
    from dora_pipeline.sources.pagerduty.normalize import normalize
    from dora_pipeline.sources.pagerduty.webhook import changes

    # An incident is merged into one that is still open, which may have started weeks before.
    return Reader(connect, normalize, context_days=31, webhook_changes=changes)


PAGERDUTY = Source(
    name=SOURCE,
    event_type="failure",
    settings=PagerDutySettings,
    lineage="pulled from the REST API, and sent by webhooks; severity is the priority, acknowledged is not resolved",
    kind="pagerduty",
    secrets=(TOKEN,),
    reader=_reader,
)

__all__ = ["PAGERDUTY"]
