"""HTTP for the sources that are pulled: one client, which retries, waits, gives up in time and keeps secrets."""

from dora_pipeline.sources.http.client import HttpClient, NotFound, Refused
from dora_pipeline.sources.http.secrets import DatadogKeys, PagerDutyToken

__all__ = ["DatadogKeys", "HttpClient", "NotFound", "PagerDutyToken", "Refused"]
