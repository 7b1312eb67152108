"""HTTP for the sources that are pulled: one client, which retries, waits, gives up in time and keeps secrets."""

from dora_pipeline.sources.http.auth import DatadogKeys, PagerDutyToken
from dora_pipeline.sources.http.client import HttpClient
from dora_pipeline.sources.http.refusals import NotFound, Refused

__all__ = ["DatadogKeys", "HttpClient", "NotFound", "PagerDutyToken", "Refused"]
