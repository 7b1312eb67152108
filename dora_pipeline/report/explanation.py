"""The events behind a figure, as plain values: what it is made of, and what is left out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from dora_pipeline.report.answer import Overview
from dora_pipeline.report.question import Question
from dora_pipeline.report.words import reason_text
from dora_pipeline.timeline import Window

# Stands for the events that count where others are asked for by the reason for which they are left out.
COUNTED = "(counted)"
# The figures of metrics.explain, and what one is called: the events that it is made of.
FIGURES: Mapping[str, str] = {
    "deployments": "Deployments",
    "lead_time_commits": "Commits with a change lead time",
    "lead_time_deployments": "Deployments with a change lead time",
    "failures": "Failures",
    "restores": "Restored failures",
    "failed_changes": "Failed changes",
    "recoveries": "Mended deployments",
    "rework_deployments": "Deployments that are rework",
    "linked_failures": "Deployments that failures are linked to",
}
_LEFT_OUT = {
    "not_selected": "its source is not selected now",
    "never_selected": "its source was never selected",
    "duplicate": "another source has it too, and counts in its place",
    "no_env": "it names no environment",
    "before_first_selection": "it is older than the first selection of its source",
    "not_in_core": "another event of the same second stands in its place, or its day is not loaded yet",
    "redelivery": "an earlier deployment brought the commit already",
    "no_author_time": "the commit has no author time that can be used",
    "not_restored": "it is open",
    "no_remediation": "no deployment is known that mended it",
    "remediation_before": "the remediation was there before what it is said to have mended",
    "failures_not_known": "its day ended before failures were known",
    "no_service": "unlinked: it names no service that is deployed",
    "unknown_service": "unlinked: its service is in neither catalog nor deployments",
    "no_deployment": "unlinked: its service has no earlier deployment in the environment",
    "too_long_ago": "unlinked: the latest deployment before it is too long ago",
}


@dataclass(frozen=True)
class ExplainedEvent:
    """An event of a figure: of a commit its deployment. `reason` says why it is left out, None where it counts."""

    is_counted: bool
    reason: str | None
    day: date
    occurred_at: datetime
    event_type: str
    event_id: str | None
    service: str | None
    env: str | None
    team: str | None
    source: str
    seconds: float | None
    details: str


@dataclass(frozen=True)
class ReasonCount:
    """How many rows there are for a reason, and of how many events; None: those that count."""

    reason: str | None
    rows: int
    events: int


@dataclass(frozen=True)
class Explanation:
    """A page of the events behind a figure of a question; `reason` chooses those of one reason, None all."""

    question: Question
    overview: Overview
    figure: str
    period: Window
    reason: str | None
    page: int
    pages: int
    counts: Sequence[ReasonCount]
    events: Sequence[ExplainedEvent]

    @property
    def made_of(self) -> int:
        """The number of events, or commits, that the figure is made of."""
        found = next((count for count in self.counts if count.reason is None), None)
        if found is None:
            return 0
        # A failure has a row for each service.
        return found.events if self.figure in ("failures", "restores") else found.rows


def left_out_text(reason: str) -> str:
    """Why an event is left out of a figure."""
    if reason.startswith("rejected: "):
        word, _, without_env = reason.removeprefix("rejected: ").partition(", ")
        return f"rejected: {reason_text(word)}" + (f"; {_LEFT_OUT[without_env]}" if without_env else "")
    return _LEFT_OUT.get(reason) or reason_text(reason)
