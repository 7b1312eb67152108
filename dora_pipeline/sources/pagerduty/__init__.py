"""PagerDuty: incidents of its REST API v2 as failures."""

from dora_pipeline.sources.pagerduty.incidents import SOURCE, connect
from dora_pipeline.sources.pagerduty.normalize import normalize
from dora_pipeline.sources.pulls import PullSource

# An incident is merged into one that is still open, which may have started weeks before.
PAGERDUTY = PullSource(name=SOURCE, connect=connect, normalize=normalize, context_days=31)

__all__ = ["PAGERDUTY"]
