"""PagerDuty: incidents of its REST API v2 and its v3 webhooks as failures."""

from dora_pipeline.sources.pagerduty.incidents import SOURCE, TOKEN, connect
from dora_pipeline.sources.pagerduty.normalize import normalize
from dora_pipeline.sources.pagerduty.webhook import changes
from dora_pipeline.sources.source import PullSource, Webhook

# An incident is merged into one that is still open, which may have started weeks before.
PAGERDUTY = PullSource(
    name=SOURCE, connect=connect, normalize=normalize, context_days=31, webhook=Webhook(TOKEN, changes)
)

__all__ = ["PAGERDUTY"]
