"""PagerDuty: incidents of its REST API v2 as failures."""

from dora_pipeline.sources.pagerduty.incidents import SOURCE, connect
from dora_pipeline.sources.pagerduty.normalize import normalize
from dora_pipeline.sources.pulls import PullSource

# Incidents that were merged into one started near it.
PAGERDUTY = PullSource(name=SOURCE, connect=connect, normalize=normalize, context_days=7)

__all__ = ["PAGERDUTY"]
