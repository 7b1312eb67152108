"""What stands under the figure of a card: what it is made of, and why it is not known."""

from collections.abc import Callable

from dora_pipeline.report.answer import Answer
from dora_pipeline.report.content import Environment, Figures
from dora_pipeline.report.question import Question
from dora_pipeline.report.verdicts import Estimate
from dora_pipeline.report.words import counted, day_text, duration_text, frequency_text

# Below this many deployments a card says what one failure more would do.
_FEW_DEPLOYMENTS = 20


def frequency_notes(answer: Answer, environment: Environment) -> list[str]:
    """Of the number of deployments: how many a day, or why it is not known."""
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


def lead_time_notes(now: Figures) -> list[str]:
    """Of the lead time over commits: how it spreads, and the one over deployments with its interval."""
    if now.lead_time_p50_seconds is None:
        return ["No deployment of these days brought commits that are known."]
    return [
        f"90th percentile {duration_text(now.lead_time_p90_seconds)}, mean {duration_text(now.lead_time_mean_seconds)}",
        f"Median over deployments: {duration_text(now.deployment_lead_time_p50_seconds)}",
        *interval_notes(now.estimate("deployment_lead_time_p50_seconds"), duration_text),
    ]


def rate_notes(answer: Answer, now: Figures) -> list[str]:
    """Of the change failure rate: why it is not known, or what one failure more would do."""
    notes, period, question = [], answer.period, answer.question
    failures_since, rates_since = answer.overview.since("failure", question), answer.overview.rates_since
    if failures_since is None:
        return [_unknown("failure", "deployment", question)]
    if now.deployments is None:
        return [_unknown("deployment", "failure", question)]
    if period.first < failures_since:
        notes.append(f"Failures are known only since {day_text(failures_since)}.")
    if rates_since is not None and period.first < rates_since:
        days = (period.last - rates_since).days + 1
        advice = f", as dora report --days {days} shows it" if days > 0 and not answer.is_live else ""
        notes.append(f"A rate needs a period that begins on {day_text(rates_since)} or later{advice}.")
    if now.failures_without_env:
        notes.append(_without_env(now.failures_without_env, "failure"))
    elif 0 < now.deployments < _FEW_DEPLOYMENTS:
        notes.append(f"Few deployments: one failure more adds {100 / now.deployments:.1f} points.")
    return notes


def restore_notes(now: Figures) -> list[str]:
    """Of the time to restore: how it spreads, and what is not in it."""
    notes = []
    if now.time_to_restore_p50_seconds is not None:
        notes.append(
            f"90th percentile {duration_text(now.time_to_restore_p90_seconds)}, "
            f"mean {duration_text(now.time_to_restore_mean_seconds)}"
        )
    if now.restores_without_env:
        notes.append(_without_env(now.restores_without_env, "restored failure"))
    notes += interval_notes(now.estimate("time_to_restore_p50_seconds"), duration_text)
    if now.open_failures:
        verb = "is" if now.open_failures == 1 else "are"
        notes.append(f"{counted(now.open_failures, 'failure')} {verb} open at the end and not in it.")
    return notes


def interval_notes(estimate: Estimate, text: Callable[[float | None], str]) -> list[str]:
    """The interval of a figure, where there is one."""
    _, low, high = estimate
    return [] if low is None or high is None else [f"95 % interval: {text(low)} to {text(high)}"]


def _unknown(what: str, other: str, question: Question) -> str:
    """Why nothing is known of events of one type, where those of the other are asked about."""
    if question.severity is not None and what == "deployment":
        return "The question is of failures of a severity, and deployments have none."
    if question.source is not None:
        return f"The question is of a source of {other}s."
    return f"No source of {what}s is selected."


def _without_env(number: int, noun: str) -> str:
    verb = "names" if number == 1 else "name"
    return f"Not known: {counted(number, noun)} {verb} no environment. dora check says which setting gives it one."
