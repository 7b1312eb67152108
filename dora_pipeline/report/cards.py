"""The cards of an environment: a figure, what it is made of, and the difference to the period before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from dora_pipeline.report.content import UNKNOWN, Environment, Figures
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
    """`value` is the exact number, `text` how it is shown, `notes` stand under it."""

    title: str
    value: float | None
    text: str
    unit: str
    notes: Sequence[str]
    comparison: str


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


def cards(
    environment: Environment, period: Window, failures_since: date | None, rates_since: date | None
) -> list[Card]:
    """Deployment frequency, change lead time, change failure rate and time to restore, then what DORA adds since 2024.

    `failures_since` is the day from which failures are known, None where no source of failures is selected;
    `rates_since` the first one from whose start deployments and failures are.
    """
    now, before = environment.now, environment.before or UNKNOWN
    days = len(period)
    are_failures_known = failures_since is not None and (period.first - failures_since).days >= days
    known = before if are_failures_known else UNKNOWN
    return [
        Card(
            "Deployment frequency",
            now.deployments,
            count_text(now.deployments),
            "" if now.deployments is None else "deployment" if now.deployments == 1 else "deployments",
            _frequency_notes(environment, period),
            _comparison(now.deployments, before.deployments, days, _count_difference, count_text(before.deployments)),
        ),
        Card(
            "Change lead time",
            now.lead_time_p50_seconds,
            duration_text(now.lead_time_p50_seconds),
            f"median over {counted(now.lead_time_commits, 'commit')}",
            _lead_time_notes(now),
            _comparison(
                now.lead_time_p50_seconds,
                before.lead_time_p50_seconds,
                days,
                _duration_difference,
                f"{duration_text(before.lead_time_p50_seconds)}, {counted(before.lead_time_commits, 'commit')}",
            ),
        ),
        Card(
            "Change failure rate",
            now.change_failure_rate,
            share_text(now.change_failure_rate),
            _rate_unit(now),
            _rate_notes(now, period, failures_since, rates_since),
            _comparison(
                now.change_failure_rate,
                known.change_failure_rate,
                days,
                _rate_difference,
                f"{share_text(known.change_failure_rate)}, {_rate_unit(known)}",
            ),
        ),
        Card(
            "Time to restore",
            now.time_to_restore_p50_seconds,
            duration_text(now.time_to_restore_p50_seconds),
            f"median of {counted(now.restores, 'restored failure')}",
            _restore_notes(now),
            _comparison(
                now.time_to_restore_p50_seconds,
                known.time_to_restore_p50_seconds,
                days,
                _duration_difference,
                f"{duration_text(known.time_to_restore_p50_seconds)}, {counted(known.restores, 'restore')}",
            ),
        ),
        _share_card("Failed change rate", _failed_changes(now), _failed_changes(before), days),
        Card(
            "Failed deployment recovery time",
            now.recovery_p50_seconds,
            duration_text(now.recovery_p50_seconds),
            f"median of {counted(now.recoveries, 'mended deployment')}",
            _interval_notes(now.recovery_p50_seconds_low, now.recovery_p50_seconds_high, duration_text),
            _comparison(
                now.recovery_p50_seconds,
                before.recovery_p50_seconds,
                days,
                _duration_difference,
                f"{duration_text(before.recovery_p50_seconds)}, {counted(before.recoveries, 'mended deployment')}",
            ),
        ),
        _share_card("Rework rate", _rework(now), _rework(before), days),
    ]


def _frequency_notes(environment: Environment, period: Window) -> list[str]:
    number, first = environment.now.deployments, environment.first_deployment_day
    if number is None:
        return ["No source of deployments is selected."]
    if first is not None and first > period.first:
        days = (period.last - first).days + 1
        return [f"{frequency_text(number, days)} over the {counted(days, 'day')} since the first deployment"]
    return [f"{frequency_text(number, len(period))} over {counted(len(period), 'day')}"]


def _lead_time_notes(now: Figures) -> list[str]:
    if now.lead_time_p50_seconds is None:
        return ["No deployment of these days brought commits that are known."]
    return [
        f"90th percentile {duration_text(now.lead_time_p90_seconds)}, mean {duration_text(now.lead_time_mean_seconds)}",
        f"Median over deployments: {duration_text(now.deployment_lead_time_p50_seconds)}",
    ]


def _rate_unit(figures: Figures) -> str:
    if figures.deployments is None or figures.failures is None:
        return ""
    return f"{counted(figures.failures, 'failure')}, {counted(figures.deployments, 'deployment')}"


def _share_card(title: str, now: _Share, before: _Share, days: int) -> Card:
    return Card(
        title,
        now.rate,
        share_text(now.rate),
        now.unit,
        _interval_notes(now.low, now.high, share_text),
        _comparison(now.rate, before.rate, days, _rate_difference, f"{share_text(before.rate)}, {before.unit}"),
    )


def _failed_changes(figures: Figures) -> _Share:
    interval = figures.failed_change_rate_low, figures.failed_change_rate_high
    return _Share(figures.failed_change_rate, figures.failed_changes, figures.deployments, *interval)


def _rework(figures: Figures) -> _Share:
    interval = figures.rework_rate_low, figures.rework_rate_high
    return _Share(figures.rework_rate, figures.rework_deployments, figures.deployments, *interval)


def _interval_notes(low: float | None, high: float | None, text: Callable[[float | None], str]) -> list[str]:
    return [] if low is None or high is None else [f"95 % interval: {text(low)} to {text(high)}"]


def _rate_notes(now: Figures, period: Window, failures_since: date | None, rates_since: date | None) -> list[str]:
    notes = []
    if failures_since is None:
        return ["No source of failures is selected."]
    if period.first < failures_since:
        notes.append(f"Failures are known only since {day_text(failures_since)}.")
    if rates_since is not None and period.first < rates_since:
        days = (period.last - rates_since).days + 1
        command = f", as dora report --days {days} shows it" if days > 0 else ""
        notes.append(f"A rate needs a period that begins on {day_text(rates_since)} or later{command}.")
    if now.failures_without_env:
        notes.append(_without_env(now.failures_without_env, "failure"))
    elif now.deployments is not None and 0 < now.deployments < _FEW_DEPLOYMENTS:
        notes.append(f"Few deployments: one failure more adds {100 / now.deployments:.1f} points.")
    return notes


def _restore_notes(now: Figures) -> list[str]:
    notes = []
    if now.time_to_restore_p50_seconds is not None:
        notes.append(
            f"90th percentile {duration_text(now.time_to_restore_p90_seconds)}, "
            f"mean {duration_text(now.time_to_restore_mean_seconds)}"
        )
    if now.restores_without_env:
        notes.append(_without_env(now.restores_without_env, "restored failure"))
    if now.open_failures:
        verb = "is" if now.open_failures == 1 else "are"
        notes.append(f"{counted(now.open_failures, 'failure')} {verb} open and not in it.")
    return notes


def _without_env(number: int, noun: str) -> str:
    verb = "names" if number == 1 else "name"
    return f"Not known: {counted(number, noun)} {verb} no environment. dora check says which setting gives it one."


def _comparison(
    now: float | None, before: float | None, days: int, difference: Callable[[float, float], str], text_before: str
) -> str:
    if now is None:
        return "Not compared: no data now."
    if before is None:
        return f"Not compared: no data for the whole of the {days} days before."
    return f"{difference(now, before)} in the {days} days before ({text_before})."


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
    return f"{_sign(now - before)}{abs(now - before) * 100:,.1f} points: {'higher' if now > before else 'lower'} than"


def _sign(value: float) -> str:
    return "+" if value > 0 else "−"
