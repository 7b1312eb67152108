"""What a page of the dashboard shows, as plain values, and what its questions can name.

Days are those of the warehouse's time zone, instants are UTC, durations seconds. None is `no data`, never 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from zoneinfo import ZoneInfo

from dora_pipeline.report.content import Environment, Point, Query, SelectedSource
from dora_pipeline.report.question import NONE, Question, WrongQuestion
from dora_pipeline.report.ranking import Ranking
from dora_pipeline.timeline import Window

_MOST_NEAR = 5


@dataclass(frozen=True)
class NamedEnvironment:
    """An environment that events name, and the day of its first deployment."""

    env: str | None
    first_deployment_day: date | None
    deployments: int

    def reaches_back_over(self, window: Window) -> bool:
        """Whether it was deployed to before the window, or as it began: its figures of all these days are known."""
        return self.first_deployment_day is not None and self.first_deployment_day <= window.first


@dataclass(frozen=True)
class Catalog:
    """What there is to ask about in one publication; `newest_day` is None where no event of a selected source is.

    `environments` are those of production first, then by deployments. `names` has, for each parameter of a question,
    the values that events name, most events first, None where some name none; of tags the most frequent only.
    """

    zone: ZoneInfo
    newest_day: date | None
    newest_event_at: datetime | None
    read_at: datetime | None
    sources: Sequence[SelectedSource]
    environments: Sequence[NamedEnvironment]
    names: Mapping[str, Sequence[str | None]]

    def environment(self, question: Question) -> NamedEnvironment:
        """The environment that the question is about: the first one where it names none. Raises WrongQuestion."""
        if question.env is None:
            return self.environments[0]
        wanted = None if question.env == NONE else question.env
        for environment in self.environments:
            if environment.env == wanted:
                return environment
        raise UnknownName("env", question.env, [item.env or NONE for item in self.environments])

    def resolved(self, question: Question) -> Question:
        """The question with its environment named. Raises WrongQuestion, UnknownName for what no event names."""
        environment = self.environment(question)
        self.check(question)
        return question.but(env=NONE if environment.env is None else environment.env, rank=question.rank)

    def check(self, question: Question) -> None:
        """Raise UnknownName for a value that no event names."""
        for parameter, names in self.names.items():
            value = getattr(question, parameter)
            if value is not None and parameter != "tag" and (None if value == NONE else value) not in names:
                raise UnknownName(parameter, value, [name for name in names if name is not None])


class UnknownName(WrongQuestion):
    """A value that no event names; `near` are some that are alike."""

    def __init__(self, parameter: str, value: str, names: Sequence[str]) -> None:
        super().__init__(parameter, f"no event of a selected source names {value!r}")
        held = [name for name in names if value.lower() in name.lower()]
        close = get_close_matches(value, names, n=_MOST_NEAR, cutoff=0.5)
        self.near = list(dict.fromkeys([*held[:_MOST_NEAR], *close]))


@dataclass(frozen=True)
class Answer:
    """The figures that a question asks for; `question` names its environment.

    `points` are the period by grain, oldest first; `lead_times` how many commits begin at each lower end of
    `distribution`. `ranking` is None where the question is about one service.
    """

    question: Question
    catalog: Catalog
    environment: Environment
    period: Window
    before: Window | None
    failures_since: date | None
    rates_since: date | None
    grain: str
    points: Sequence[Point]
    lead_times: Mapping[int, int]
    ranking: Ranking | None
    queries: Sequence[Query] = ()
