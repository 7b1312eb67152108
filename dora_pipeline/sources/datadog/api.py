"""The way to Datadog: addresses, keys, what to check when it refuses them, and how its wire is written."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dora_pipeline.config import Settings
from dora_pipeline.sources.http import DatadogKeys, HttpClient
from dora_pipeline.sources.source import Note

_SITES_WITH_A_NAME_OF_THEIR_OWN = 3


def datadog_client(source: str, scope: str, settings: Settings, keys: Sequence[str], note: Note) -> HttpClient:
    """A client for the API with the values of SECRETS; `scope` is what the application key needs."""
    check_site = f"check datadog.site ({settings.datadog.site}): a key of one site is refused at every other"
    return HttpClient(
        source,
        api_url(settings),
        DatadogKeys(*keys),
        secrets=keys,
        note=note,
        advice={
            401: f"check DD_API_KEY and DD_APP_KEY, and {check_site}",
            403: f"check DD_API_KEY, and that the application key DD_APP_KEY has the scope {scope}, and {check_site}",
        },
    )


def api_url(settings: Settings) -> str:
    """Where programs ask: `datadog.api_url`, else the API of `datadog.site`."""
    return settings.datadog.api_url or f"https://api.{settings.datadog.site}"


def app_url(settings: Settings) -> str:
    """Where people see Datadog: `https://app.datadoghq.eu`, but `https://us3.datadoghq.com`."""
    site = settings.datadog.site
    is_named = len(site.split(".")) >= _SITES_WITH_A_NAME_OF_THEIR_OWN
    return f"https://{site}" if is_named else f"https://app.{site}"


def wire_time(moment: datetime) -> str:
    """An instant as requests have it: RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def items_problem(answer: Any, *path: str) -> str | None:
    """What is wrong with an answer that should have a list of objects at a path of keys."""
    for key in path:
        answer = answer.get(key) if isinstance(answer, Mapping) else None
    if not isinstance(answer, list) or not all(isinstance(item, Mapping) for item in answer):
        return f"no list of objects in {'.'.join(path)}"
    return None
