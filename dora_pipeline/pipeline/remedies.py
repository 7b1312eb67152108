"""What mends what a check found, as lines to write: commands, and lines of the files in the home folder."""

import json
import re
from collections.abc import Callable, Mapping

import yaml

from dora_pipeline.identifiers import EventType
from dora_pipeline.pipeline.expectation import CheckResult
from dora_pipeline.pipeline.glimpses import Shown
from dora_pipeline.sources.registry import sources_of

_MOST = 3
# The sources that need nothing but somebody who sends to them.
_SENT: Mapping[EventType, str] = {"deployment": "deployment_event_api", "failure": "failure_event_api"}
_SENDERS = {
    "apm_deployment_tracking": 'a line of a file exports/apm/….jsonl: {"timestamp": "2026-01-05T10:00:00Z", "service": '
    '"shop", "env": "production", "version": "1.2.0"}',
    "deployment_event_api": "in the checkout: dora deployment --service shop --env production --started-at "
    "2026-01-05T10:00:00Z",
    "failure_event_api": "dora failure --service shop --env production --started-at 2026-01-05T10:30:00Z --finished-at "
    "2026-01-05T11:00:00Z",
}

Row = Mapping[str, Shown]


def remedies(result: CheckResult) -> list[str]:
    """Lines for the first of what a check found; none where nothing can be written in a line."""
    remedy = _REMEDIES.get(result.name)
    lines = [line for row in result.examples if remedy is not None and (line := remedy(row))]
    return list(dict.fromkeys(lines))[:_MOST]


def _selection(row: Row) -> str:
    event_type: EventType = "failure" if row["event_type"] == "failure" else "deployment"
    since, sent = row["other_since"], _SENT[event_type]
    at = f" --at {str(since).replace(' ', 'T')}" if since else ""
    others = ", ".join(name for name in sources_of(event_type) if name != sent)
    return f"dora select {event_type}s {sent}{at} (in its place, or beside it: {others})"


def _rejects(row: Row) -> str:
    of_reason = f"source = '{row['source']}' AND reason = '{row['reason']}'"
    return f'dora sql --format lines "SELECT payload FROM core.rejected_events WHERE {of_reason} LIMIT 5"'


def _definition(row: Row) -> str:
    own = f"a file in services/: {{schema-version: v2.2, dd-service: {_yaml(row['service'])}, team: …}}"
    match row["source"]:
        case "pagerduty":
            address = "{service-url: https://….pagerduty.com/service-directory/…}"
            return f"in the file of its service in services/: integrations: {{pagerduty: {address}}}, or {own}"
        case "statuspage":
            return f"dora.yaml, below sources.statuspage.components: {_yaml(row['service'])}: …, or {own}"
    return own


def _lacking(row: Row) -> str | None:
    match row["reason"]:
        case "no_repository":
            return (
                f"a file in services/: {{schema-version: v2.2, dd-service: {_yaml(row['service'])}, "
                "links: [{name: Source, type: repo, url: https://github.com/…/…}]}"
            )
        case "no_commit":
            return (
                "`dora deployment` in the checkout sends the commit; in a line of an export: "
                '"git": {"commit": {"sha": "…"}, "repository_url": "https://github.com/…/…"}'
            )
    return None


def _repository(row: Row) -> str:
    name = row["repository_id"]
    return f"dora.yaml, below repositories: {_yaml(name)}: {_yaml(f'https://{name}.git')}"


def _yaml(value: Shown) -> str:
    """A name as YAML takes it anywhere."""
    text = str(value)
    is_plain = re.fullmatch("[a-zA-Z][a-zA-Z0-9_./-]*(://[a-zA-Z0-9_./-]+)?", text) and isinstance(
        yaml.safe_load(text), str
    )
    return text if is_plain else json.dumps(text, ensure_ascii=False)


_REMEDIES: Mapping[str, Callable[[Row], str | None]] = {
    "types_selected": _selection,
    "sources_fresh": lambda row: (
        _SENDERS.get(str(row["source"])) if "since it was selected" in str(row["finding"]) else None
    ),
    "rejected_share": _rejects,
    "services_known": _definition,
    "environments_known": lambda row: f"dora.yaml, below environments: {row['setting']}",
    "environments_apart": lambda row: f"dora.yaml: {row['setting']}",
    "repositories_configured": _repository,
    "commits_known": _lacking,
    "failures_with_env": lambda row: f"dora.yaml, below sources: {row['source']}: {{env: {_yaml(row['env'])}}}",
}
