"""The cards of an environment: a figure, what it is made of, and the difference to the period before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dora_pipeline.report import verdicts
from dora_pipeline.report.answer import Answer
from dora_pipeline.report.content import UNKNOWN, Environment, Figures
from dora_pipeline.report.notes import (
    frequency_notes,
    interval_notes,
    lead_time_notes,
    rate_notes,
    restore_notes,
)
from dora_pipeline.report.words import (
    count_text,
    counted,
    day_text,
    duration_text,
    share_text,
)
from dora_pipeline.timeline import Window


@dataclass(frozen=True)
class Card:
    """`value` is the exact number, `text` how it is shown, `notes` stand under it.

    `verdict` says whether the difference is more than noise; it is empty where nothing is compared.
    """

    title: str
    value: float | None
    text: str
    unit: str
    notes: Sequence[str]
    # Whose events metrics.explain shows.
    figure: str
    comparison: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class _Share:
    """A share of the deployments of a period, with its interval."""

    number: int | None
    deployments: int | None
    estimate: verdicts.Estimate

    @property
    def unit(self) -> str:
        if self.number is None or self.deployments is None:
            return ""
        return f"{self.number:,} of {counted(self.deployments, 'deployment')}"


@dataclass(frozen=True)
class _Compared:
    """A period and the days that it is compared with, None where it is with nothing."""

    period: Window
    before: Window | None

    def card(self, title: str, figure: str, now: "_Figure", before: "_Figure", verdict: str) -> Card:
        comparison = self._comparison(now, before)
        is_compared = now.value is not None and before.value is not None and self.before is not None
        return Card(title, now.value, now.text, now.unit, now.notes, figure, comparison, verdict if is_compared else "")

    def _comparison(self, now: "_Figure", before: "_Figure") -> str:
        if self.before is None:
            return ""
        if now.value is None:
            return "Not compared: no data now."
        days = counted(len(self.before), "day")
        if self.before.last + timedelta(days=1) == self.period.first:
            named = f"the {days} before"
        else:
            named = f"the {days} from {day_text(self.before.first)}"
        if before.value is None:
            return f"Not compared: no data for the whole of {named}."
        made_of = f", {before.made_of}" if before.made_of else ""
        return f"{now.difference(now.value, before.value)} in {named} ({before.text}{made_of})."


@dataclass(frozen=True)
class _Figure:
    """A figure of a period, `made_of` so many events, and the words for its difference to that of another one."""

    value: float | None
    text: str
    difference: Callable[[float, float], str]
    unit: str = ""
    made_of: str = ""
    notes: Sequence[str] = ()


def cards(answer: Answer, environment: Environment) -> list[Card]:
    """Deployment frequency, change lead time, change failure rate, time to restore, then what DORA adds since 2024."""
    now, then = environment.now, environment.before or UNKNOWN
    period, before = answer.period, answer.before
    failures_since = answer.overview.since("failure", answer.question)
    are_failures_known = failures_since is not None and before is not None and failures_since <= before.first
    known = then if are_failures_known else UNKNOWN
    days, days_before = len(period), 0 if before is None else len(before)
    compared = _Compared(period, before)
    return [
        compared.card(
            "Deployment frequency",
            "deployments",
            _frequency(now, frequency_notes(answer, environment)),
            _frequency(then),
            verdicts.of_counts(now.deployments, days, then.deployments, days_before),
        ),
        compared.card(
            "Change lead time",
            "lead_time_commits",
            _lead_time(now),
            _lead_time(then),
            # The commits of one deployment are delivered at once: deployments are what chance has to do with.
            _verdict("deployment_lead_time_p50_seconds", now, then),
        ),
        compared.card(
            "Change failure rate",
            "failures",
            _failure_rate(now, rate_notes(answer, now)),
            _failure_rate(known),
            verdicts.of_counts(now.failures, now.deployments, known.failures, known.deployments),
        ),
        compared.card(
            "Time to restore",
            "restores",
            _restore(now),
            _restore(known),
            _verdict("time_to_restore_p50_seconds", now, known),
        ),
        compared.card("Failed change rate", "failed_changes", *_shares(_failed_changes(now), _failed_changes(then))),
        compared.card(
            "Failed deployment recovery time",
            "recoveries",
            _recovery(now),
            _recovery(then),
            _verdict("recovery_p50_seconds", now, then),
        ),
        compared.card("Rework rate", "rework_deployments", *_shares(_rework(now), _rework(then))),
    ]


def _frequency(figures: Figures, notes: Sequence[str] = ()) -> _Figure:
    number = figures.deployments
    unit = "" if number is None else "deployment" if number == 1 else "deployments"
    return _Figure(number, count_text(number), _count_difference, unit, notes=notes)


def _lead_time(figures: Figures) -> _Figure:
    value, commits = figures.lead_time_p50_seconds, counted(figures.lead_time_commits, "commit")
    unit = f"median over {commits}"
    return _Figure(value, duration_text(value), _duration_difference, unit, commits, lead_time_notes(figures))


def _failure_rate(figures: Figures, notes: Sequence[str] = ()) -> _Figure:
    value, unit = figures.change_failure_rate, _rate_unit(figures)
    return _Figure(value, share_text(value), _rate_difference, unit, unit, notes)


def _restore(figures: Figures) -> _Figure:
    return _Figure(
        figures.time_to_restore_p50_seconds,
        duration_text(figures.time_to_restore_p50_seconds),
        _duration_difference,
        f"median of {counted(figures.restores, 'restored failure')}",
        counted(figures.restores, "restore"),
        restore_notes(figures),
    )


def _recovery(figures: Figures) -> _Figure:
    value, number = figures.recovery_p50_seconds, counted(figures.recoveries, "mended deployment")
    notes = interval_notes(figures.estimate("recovery_p50_seconds"), duration_text)
    return _Figure(value, duration_text(value), _duration_difference, f"median of {number}", number, notes)


def _shares(now: _Share, before: _Share) -> tuple[_Figure, _Figure, str]:
    verdict = verdicts.of_shares(now.estimate, now.deployments, before.estimate, before.deployments)
    return _share(now), _share(before), verdict


def _share(share: _Share) -> _Figure:
    rate, notes = share.estimate[0], interval_notes(share.estimate, share_text)
    return _Figure(rate, share_text(rate), _rate_difference, share.unit, share.unit, notes)


def _verdict(column: str, now: Figures, before: Figures) -> str:
    return verdicts.of_estimates(now.estimate(column), before.estimate(column))


def _rate_unit(figures: Figures) -> str:
    if figures.deployments is None or figures.failures is None:
        return ""
    return f"{counted(figures.failures, 'failure')}, {counted(figures.deployments, 'deployment')}"


def _failed_changes(figures: Figures) -> _Share:
    return _Share(figures.failed_changes, figures.deployments, figures.estimate("failed_change_rate"))


def _rework(figures: Figures) -> _Share:
    return _Share(figures.rework_deployments, figures.deployments, figures.estimate("rework_rate"))


def _count_difference(now: float, before: float) -> str:
    if now == before:
        return "As many as"
    return f"{_sign(now - before)}{abs(now - before):,.0f}: {'more' if now > before else 'fewer'} than"


def _duration_difference(now: float, before: float) -> str:
    if now == before:
        return "As long as"
    size = duration_text(abs(now - before))
    return f"{_sign(now - before)}{size}: {'longer' if now > before else 'shorter'} than"


def _rate_difference(now: float, before: float) -> str:
    if now == before:
        return "As high as"
    if round(abs(now - before) * 100, 1) == 0:
        return "Nearly as high as"
    return f"{_sign(now - before)}{abs(now - before) * 100:,.1f} points: {'higher' if now > before else 'lower'} than"


def _sign(value: float) -> str:
    return "+" if value > 0 else "−"
