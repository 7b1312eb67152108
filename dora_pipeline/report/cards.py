"""The cards of an environment: a figure, what it is made of, and the difference to the period before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dora_pipeline.report import verdicts
from dora_pipeline.report.answer import Answer
from dora_pipeline.report.content import UNKNOWN, Environment, Figures
from dora_pipeline.report.question import Question
from dora_pipeline.report.words import (
    count_text,
    counted,
    day_text,
    duration_text,
    frequency_text,
    share_text,
)
from dora_pipeline.timeline import Window

# Below this many deployments a card says what one failure more would do.
_FEW_DEPLOYMENTS = 20


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

    rate: float | None
    number: int | None
    deployments: int | None
    low: float | None
    high: float | None

    @property
    def unit(self) -> str:
        if self.number is None or self.deployments is None:
            return ""
        return f"{self.number:,} of {counted(self.deployments, 'deployment')}"

    @property
    def estimate(self) -> verdicts.Estimate:
        return self.rate, self.low, self.high


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
            _frequency(now, _frequency_notes(answer, environment)),
            _frequency(then),
            verdicts.of_counts(now.deployments, days, then.deployments, days_before),
        ),
        compared.card(
            "Change lead time",
            "lead_time_commits",
            _lead_time(now),
            _lead_time(then),
            # The commits of one deployment are delivered at once: deployments are what chance has to do with.
            verdicts.of_estimates(_deployment_lead_time(now), _deployment_lead_time(then)),
        ),
        compared.card(
            "Change failure rate",
            "failures",
            _failure_rate(now, _rate_notes(answer, now)),
            _failure_rate(known),
            verdicts.of_counts(now.failures, now.deployments, known.failures, known.deployments),
        ),
        compared.card(
            "Time to restore",
            "restores",
            _restore(now),
            _restore(known),
            verdicts.of_estimates(_time_to_restore(now), _time_to_restore(known)),
        ),
        compared.card("Failed change rate", "failed_changes", *_shares(_failed_changes(now), _failed_changes(then))),
        compared.card(
            "Failed deployment recovery time",
            "recoveries",
            _recovery(now),
            _recovery(then),
            verdicts.of_estimates(_recovery_time(now), _recovery_time(then)),
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
    return _Figure(value, duration_text(value), _duration_difference, unit, commits, _lead_time_notes(figures))


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
        _restore_notes(figures),
    )


def _recovery(figures: Figures) -> _Figure:
    value, number = figures.recovery_p50_seconds, counted(figures.recoveries, "mended deployment")
    notes = _interval_notes(figures.recovery_p50_seconds_low, figures.recovery_p50_seconds_high, duration_text)
    return _Figure(value, duration_text(value), _duration_difference, f"median of {number}", number, notes)


def _shares(now: _Share, before: _Share) -> tuple[_Figure, _Figure, str]:
    verdict = verdicts.of_shares(now.estimate, now.deployments, before.estimate, before.deployments)
    return _share(now), _share(before), verdict


def _share(share: _Share) -> _Figure:
    notes = _interval_notes(share.low, share.high, share_text)
    return _Figure(share.rate, share_text(share.rate), _rate_difference, share.unit, share.unit, notes)


def _deployment_lead_time(figures: Figures) -> verdicts.Estimate:
    return (
        figures.deployment_lead_time_p50_seconds,
        figures.deployment_lead_time_p50_seconds_low,
        figures.deployment_lead_time_p50_seconds_high,
    )


def _time_to_restore(figures: Figures) -> verdicts.Estimate:
    return (
        figures.time_to_restore_p50_seconds,
        figures.time_to_restore_p50_seconds_low,
        figures.time_to_restore_p50_seconds_high,
    )


def _recovery_time(figures: Figures) -> verdicts.Estimate:
    return figures.recovery_p50_seconds, figures.recovery_p50_seconds_low, figures.recovery_p50_seconds_high


def _frequency_notes(answer: Answer, environment: Environment) -> list[str]:
    period, number, first = answer.period, environment.now.deployments, environment.first_deployment_day
    if number is None:
        return [_unknown("deployment", "failure", answer.question)]
    if first is not None and first > period.last:
        return [f"These days end before the first deployment of the environment, on {day_text(first)}."]
    if first is not None and first > period.first:
        days = (period.last - first).days + 1
        since = f"{counted(days, 'day')} since the first deployment of the environment"
        return [f"{frequency_text(number, days)} over the {since}"]
    return [f"{frequency_text(number, len(period))} over {counted(len(period), 'day')}"]


def _lead_time_notes(now: Figures) -> list[str]:
    if now.lead_time_p50_seconds is None:
        return ["No deployment of these days brought commits that are known."]
    return [
        f"90th percentile {duration_text(now.lead_time_p90_seconds)}, mean {duration_text(now.lead_time_mean_seconds)}",
        f"Median over deployments: {duration_text(now.deployment_lead_time_p50_seconds)}",
        *_interval_notes(*_deployment_lead_time(now)[1:], duration_text),
    ]


def _rate_unit(figures: Figures) -> str:
    if figures.deployments is None or figures.failures is None:
        return ""
    return f"{counted(figures.failures, 'failure')}, {counted(figures.deployments, 'deployment')}"


def _failed_changes(figures: Figures) -> _Share:
    interval = figures.failed_change_rate_low, figures.failed_change_rate_high
    return _Share(figures.failed_change_rate, figures.failed_changes, figures.deployments, *interval)


def _rework(figures: Figures) -> _Share:
    interval = figures.rework_rate_low, figures.rework_rate_high
    return _Share(figures.rework_rate, figures.rework_deployments, figures.deployments, *interval)


def _interval_notes(low: float | None, high: float | None, text: Callable[[float | None], str]) -> list[str]:
    return [] if low is None or high is None else [f"95 % interval: {text(low)} to {text(high)}"]


def _rate_notes(answer: Answer, now: Figures) -> list[str]:
    notes, period, question = [], answer.period, answer.question
    failures_since, rates_since = answer.overview.since("failure", question), answer.overview.rates_since
    if failures_since is None:
        return [_unknown("failure", "deployment", question)]
    if now.deployments is None:
        return [_unknown("deployment", "failure", question)]
    if period.first < failures_since:
        notes.append(f"Failures are known only since {day_text(failures_since)}.")
    if rates_since is not None and period.first < rates_since:
        days, advice = (period.last - rates_since).days + 1, ""
        if days > 0:
            advice = "; choose one" if answer.is_live else f", as dora report --days {days} shows it"
        notes.append(f"A rate needs a period that begins on {day_text(rates_since)} or later{advice}.")
    if now.failures_without_env:
        notes.append(_without_env(now.failures_without_env, "failure"))
    elif 0 < now.deployments < _FEW_DEPLOYMENTS:
        notes.append(f"Few deployments: one failure more adds {100 / now.deployments:.1f} points.")
    return notes


def _unknown(what: str, other: str, question: Question) -> str:
    """Why nothing is known of events of one type, where those of the other are asked about."""
    if question.severity is not None and what == "deployment":
        return "The question is of failures of a severity, and deployments have none."
    if question.source is not None:
        return f"The question is of a source of {other}s."
    return f"No source of {what}s is selected."


def _restore_notes(now: Figures) -> list[str]:
    notes = []
    if now.time_to_restore_p50_seconds is not None:
        notes.append(
            f"90th percentile {duration_text(now.time_to_restore_p90_seconds)}, "
            f"mean {duration_text(now.time_to_restore_mean_seconds)}"
        )
    if now.restores_without_env:
        notes.append(_without_env(now.restores_without_env, "restored failure"))
    notes += _interval_notes(*_time_to_restore(now)[1:], duration_text)
    if now.open_failures:
        verb = "is" if now.open_failures == 1 else "are"
        notes.append(f"{counted(now.open_failures, 'failure')} {verb} open at the end and not in it.")
    return notes


def _without_env(number: int, noun: str) -> str:
    verb = "names" if number == 1 else "name"
    return f"Not known: {counted(number, noun)} {verb} no environment. dora check says which setting gives it one."


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
