"""The answers to questions, computed from one publication of the warehouse.

Every figure comes from the events of its question: medians under any filter are exact.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date
from functools import partial
from zoneinfo import ZoneInfo

import duckdb

from dora_pipeline.pipeline.aliases import environment_names
from dora_pipeline.pipeline.report_queries import Queries, queries_at_once
from dora_pipeline.pipeline.trends import points_by_env
from dora_pipeline.report.answer import Answer, NamedEnvironment, Overview
from dora_pipeline.report.content import Environment, Excerpt, Figures, Point, Query, SelectedSource, Trend
from dora_pipeline.report.distribution import LOWER_ENDS
from dora_pipeline.report.question import COLUMNS, Question, WrongQuestion
from dora_pipeline.report.ranking import Ranked, Ranking
from dora_pipeline.timeline import OLDEST_INSTANT, Window
from dora_pipeline.warehouse.filtered import Part, Parts, narrowed
from dora_pipeline.warehouse.single_queries import single_query

_PRODUCTION = ("production", "prod")
_MOST_TAGS = 200
_MOST_RANKED = 50

# The env of a figure, and the service or the team, None where it is of the whole environment.
_Whose = tuple[str | None, str | None]


@dataclass(frozen=True)
class Scope:
    """What an answer is made of: the days that are asked for and compared with, and of trends the grain and the days.

    Whoever has an event since that day is ranked, at most so many services or teams. Whether a point is provisional
    depends on the clock, and is left out where nothing may.
    """

    period: Window
    before: Window | None
    trends: Sequence[tuple[str, Window]]
    since: date
    most: Mapping[str, int]
    has_provisional: bool = True

    @property
    def windows(self) -> list[Window]:
        """All days of it."""
        found = [Window(self.since, self.period.last)]
        return found if self.before is None else [*found, self.before]


def overview(connection: duckdb.DuckDBPyConnection) -> Overview:
    """What there is to ask about; `connection` is one of `open_publication`."""
    queries = Queries(connection)
    ((timezone,),) = queries.rows("time_zone")
    ((newest_day, newest_event_at, read_at),) = queries.rows("span")
    environments = (
        [] if newest_day is None else queries.rows("environments", since_day=OLDEST_INSTANT.date(), to_day=newest_day)
    )
    names: dict[str, list[str | None]] = {parameter: [] for parameter in (*COLUMNS, "tag") if parameter != "env"}
    for parameter, name in queries.rows("names", most_tags=_MOST_TAGS):
        names[parameter].append(name)
    return Overview(
        ZoneInfo(timezone),
        newest_day,
        newest_event_at,
        read_at,
        [SelectedSource(*row) for row in queries.rows("sources")],
        sorted((NamedEnvironment(*row) for row in environments), key=_production_first),
        names,
        environment_names(connection),
    )


def answer(connections: Sequence[duckdb.DuckDBPyConnection], parts: Parts, asked: Question, known: Overview) -> Answer:
    """The answer to a question of an overview that has events; `connections`, all asked at once, are of one
    `open_publication`, and `parts` those of the same publication.

    Raises WrongQuestion for what the publication does not know, or days that are too many or not there yet.
    """
    assert known.newest_day is not None, "there is nothing to ask about"
    question = known.resolved(asked)
    period = question.window(known.newest_day)
    most = {question.by: _MOST_RANKED} if question.service is None else {}
    trends = [(question.points(period), period)]
    scope = Scope(period, question.compared(period), trends, period.first, most)
    with parts.filtered(connections, question.values, question.tag, scope.windows) as part:
        return answer_of_part(connections, part, question, known, scope, Excerpt([known.environment(question)], 1))


def answer_of_part(
    connections: Sequence[duckdb.DuckDBPyConnection],
    part: Part,
    question: Question,
    known: Overview,
    scope: Scope,
    shown: Excerpt[NamedEnvironment],
) -> Answer:
    """The answer to a question over some environments, where unqualified names mean what passes its filter.

    Raises WrongQuestion where no service or team has the rank that is asked for.
    """
    period, before = scope.period, scope.before
    bounds = {"from_day": period.first, "to_day": period.last}
    is_compared = before is not None and any(environment.reaches_back_over(before) for environment in shown.rows)

    def cards(queries: Queries) -> dict[_Whose, Figures]:
        return _figures(queries, "Cards", "env", period, scope.since)

    def cards_before(queries: Queries) -> dict[_Whose, Figures]:
        if before is None or not is_compared:
            return {}
        return _figures(queries, "Cards, the days compared with", "env", before, before.first)

    def points(grain: str, days: Window, queries: Queries) -> dict[str | None, list[Point]]:
        rows = queries.rows("trends", f"Trends by {grain}", grain=grain, from_day=days.first, to_day=days.last)
        return points_by_env(rows, grain, has_provisional=scope.has_provisional)

    def steps(queries: Queries) -> dict[str | None, dict[int, int]]:
        found: dict[str | None, dict[int, int]] = defaultdict(dict)
        for env, lower_end, commits in queries.rows("lead_times", "Lead times", lower_ends=LOWER_ENDS, **bounds):
            found[env][lower_end] = commits
        return found

    def ranking(by: str, queries: Queries) -> Ranking:
        return _ranking(part, queries, question, by, scope, shown.rows)

    with queries_at_once(connections) as queries:
        started = queries.start(cards), queries.start(cards_before)
        trends_started = {grain: queries.start(partial(points, grain, days)) for grain, days in scope.trends}
        steps_started = queries.start(steps)
        rankings_started = [queries.start(partial(ranking, by)) for by in scope.most]
        now, then = (figures.result() for figures in started)
        trends = {grain: found.result() for grain, found in trends_started.items()}
        lead_times = steps_started.result()
        rankings = [found.result() for found in rankings_started]
        texts = queries.texts
    nothing = _nothing(known, question)

    def of(environment: NamedEnvironment) -> Environment:
        env = environment.env
        return Environment(
            env,
            environment.first_deployment_day,
            now.get((env, None), nothing),
            then.get((env, None), nothing) if before is not None and environment.reaches_back_over(before) else None,
            [Trend(grain, points.get(env, [])) for grain, points in trends.items()],
            lead_times[env],
        )

    return Answer(
        question,
        known,
        period,
        before,
        Excerpt([of(environment) for environment in shown.rows], shown.total),
        rankings,
        [Query(title, single_query(text, part.conditions)) for title, text in texts.items()],
    )


def _figures(queries: Queries, title: str, dimension: str, window: Window, since: date) -> dict[_Whose, Figures]:
    """The figures of each environment, or of each service or team in one, that has an event since the day."""
    found: dict[_Whose, Figures] = {}
    rows = queries.rows(
        "figures", title, dimension=dimension, since_day=since, from_day=window.first, to_day=window.last
    )
    for _, service, env, team, *figures in rows:
        # Failures without a service have a row for each team.
        if not (dimension == "service" and service is None):
            found[env, {"env": None, "service": service, "team": team}[dimension]] = Figures(*figures)
    return found


def _ranking(
    part: Part,
    queries: Queries,
    question: Question,
    by: str,
    scope: Scope,
    shown: Sequence[NamedEnvironment],
) -> Ranking:
    (grain, course_of), *_ = scope.trends
    most, since, period = scope.most[by], scope.since, scope.period
    envs = [environment.env or "" for environment in shown]
    ranked = queries.rows(
        "ranked",
        dimension=by,
        sort=question.sort,
        since_day=since,
        from_day=period.first,
        to_day=period.last,
        envs=envs,
        most=most,
        skipped=question.rank - 1,
    )
    if not ranked and question.rank > 1:
        raise WrongQuestion("rank", f"there are fewer {by}s; begin with the first")
    names = list(dict.fromkeys(name for _, name, _ in ranked))
    total = ranked[0][2] if ranked else 0
    # To take those on the page out of the others takes less than the figures of all do.
    with nullcontext() if total == len(ranked) else narrowed(queries.connection, part, COLUMNS[by], names):
        figures = _figures(queries, f"Figures by {by}", by, period, since)
        courses: dict[_Whose, list[float | None]] = defaultdict(list)
        bounds = {"from_day": course_of.first, "to_day": course_of.last}
        for env, name, figure in queries.rows("member_trends", dimension=by, grain=grain, sort=question.sort, **bounds):
            courses[env, name].append(figure)
        teams = dict(queries.rows("teams", since_day=since)) if by == "service" else {}
    rows = [Ranked(name, env, figures[env, name], teams.get(name), courses[env, name]) for env, name, _ in ranked]
    return Ranking(by, question.sort, grain, rows, total, question.rank, most)


def _nothing(known: Overview, question: Question) -> Figures:
    """The figures of days on which nothing came: counts are 0 of what is told by a source that is asked about."""
    deployments = 0 if known.since("deployment", question) else None
    failures = 0 if known.since("failure", question) else None
    return Figures(
        deployments=deployments,
        failures=failures,
        lead_time_commits=deployments,
        lead_time_deployments=deployments,
        restores=failures,
        failed_changes=deployments,
        recoveries=deployments,
        rework_deployments=deployments,
        linked_failures=deployments if known.selected("failure") else None,
        open_failures=failures,
    )


def _production_first(environment: NamedEnvironment) -> int:
    """The place of an environment: those of production come first, the others are alike."""
    name = (environment.env or "").lower()
    return _PRODUCTION.index(name) if name in _PRODUCTION else len(_PRODUCTION)
