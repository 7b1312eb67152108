"""The Deployment and Failure Event API: normalizers of their records, from our own intake or pulled from Datadog."""

from dora_pipeline.sources.deployment_events import normalize_deployments
from dora_pipeline.sources.event_rules import Normalized
from dora_pipeline.sources.failure_events import normalize_failures

__all__ = ["Normalized", "normalize_deployments", "normalize_failures"]
