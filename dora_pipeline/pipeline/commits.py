"""The commits that deployments brought: ranges from mirrors of the repositories, and what was delivered before.

What does not belong here: which rows of core follow from that (`warehouse/commits.py`).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby

import polars as pl

from dora_pipeline.batches import batches, connected
from dora_pipeline.pipeline.mirrors import Repositories
from dora_pipeline.pipeline.session import Session
from dora_pipeline.repositories.delivered import Delivered
from dora_pipeline.repositories.graph import CommitGraph
from dora_pipeline.repositories.mirror import Mirror
from dora_pipeline.repositories.ranges import Range
from dora_pipeline.tables import DeliveredTips, DeploymentRanges, empty_frame
from dora_pipeline.warehouse import commits
from dora_pipeline.warehouse.range_cache import KeptRanges, Landed, keep_ranges, kept_ranges, range_id

# A service in an environment, in one of the histories of deployments.
_History = tuple[str, str, str | None]
# Commits that have all that was delivered, with the days on which they were deployed; then also until when they had.
_Tips = Mapping[str, date]
_TipRow = tuple[str, date, date | None]
# So many deployments are asked for together, which bounds memory; each time all that is kept is looked through.
_AT_ONCE = 50_000


def look_up_commits(session: Session, repositories: Repositories, since: date) -> None:
    """Look up the commits of deployments that changed, and of those whose missing commits can be had now.

    A repository is fetched for missing commits if it never was, or if one of their deployments is of `since` or later;
    else only what other fetches brought is looked at. So it is asked for the requests that squash commits lacked. Marks
    the days of core whose rows differ.
    """
    writer = session.writer
    again = _found_again(repositories, commits.deployments_without_commits(writer), since)
    if session.fetches:
        for repository_id, squash_commits in commits.unexpanded_squash_commits(writer, since).items():
            if offered := repositories.with_offered_requests(repository_id, squash_commits):
                commits.reopen_ranges(writer, repository_id, offered)
        for repository_id, deployments in commits.deployments_of_unfinished_ranges(writer).items():
            again += deployments if repositories.offers_requests(repository_id) else ()
    waiting = commits.begin_questions(writer, again)
    left = {repository_id for _, repository_id in waiting}
    total = len(left)

    def finish(*repository_ids: str) -> None:
        left.difference_update(repository_ids)
        session.progress.step("look up commits", total - len(left), total)

    for together in batches(connected(waiting), lambda pairs: sum(waiting[pair] for pair in pairs), _AT_ONCE):
        pairs = [pair for some in together for pair in some]
        questions = commits.questions_of(writer, sorted({service for service, _ in pairs}))
        if questions:
            _answer(session, repositories, questions, finish)
        finish(*(repository_id for _, repository_id in pairs))
    commits.end_questions(writer)


def _answer(
    session: Session, repositories: Repositories, questions: commits.Questions, finish: Callable[[str], None]
) -> None:
    """Answer questions and keep the answers. `finish` hears of each repository that has been asked."""
    writer = session.writer
    answers = _Answers(repositories, session.settings.squash_merges, asks_requests=session.fetches)
    tips: dict[str, dict[_History, dict[str, date]]] = {}
    for repository_id, sha, day, *history in commits.known_tips(writer, questions.services).iter_rows():
        tips.setdefault(repository_id, {}).setdefault(tuple(history), {})[sha] = day
    groups = questions.rows.partition_by("repository_id", as_dict=True, maintain_order=True)
    by_repository = {str(key[0]): group for key, group in groups.items()}
    by_repository |= {name: questions.rows.clear() for name in tips if name not in by_repository}
    asked = [
        answers.ask(name, [_Question(**row) for row in group.iter_rows(named=True)])
        for name, group in by_repository.items()
    ]
    kept = kept_ranges(writer, list(by_repository), [key for one in asked for key in one.ranges])
    for one in asked:
        answers.add(one, tips.get(one.repository_id, {}), kept)
        finish(one.repository_id)
    with writer.transaction() as connection:
        differing_ranges = keep_ranges(connection, answers.found_ranges, answers.found_commits, kept)
        commits.replace_answers(
            connection,
            writer.engine,
            questions,
            pl.DataFrame(answers.ranges, schema=empty_frame(DeploymentRanges).schema, orient="row"),
            pl.DataFrame(answers.had, schema=commits.HAD_COMMITS, orient="row"),
            pl.DataFrame(answers.tips, schema=empty_frame(DeliveredTips).schema, orient="row"),
            differing_ranges,
        )


def _found_again(repositories: Repositories, missing: pl.DataFrame, since: date) -> list[str]:
    """The deployments that more is known of now."""
    found_again: list[str] = []
    for (repository_id,), group in missing.partition_by("repository_id", as_dict=True).items():
        mirror = repositories.mirror(str(repository_id))
        if mirror is None:
            continue
        shas = {sha for sha in (*group["base_sha"], *group["head_sha"]) if sha}
        is_worth_a_fetch = not mirror.exists or bool((group["day"] >= since).any())
        found = repositories.resolved(mirror, shas, fetches=is_worth_a_fetch)
        if found is None:
            continue
        for row in group.iter_rows(named=True):
            known = (found.get(row["base_sha"]), found.get(row["head_sha"]))
            if row["reason"] == "repository_missing" or known != (row["previous_sha"], row["commit_sha"]):
                found_again.append(row["deployment_id"])
    return found_again


@dataclass(frozen=True)
class _Question:
    deployment_id: str
    history: str
    service: str
    env: str | None
    repository_id: str
    base_sha: str | None
    head_sha: str
    patterns: Sequence[str]
    is_ranged: bool
    day: date
    known_sha: str | None

    @property
    def in_history(self) -> _History:
        return self.history, self.service, self.env


@dataclass(frozen=True)
class _Asked:
    """What is asked of a repository: the whole SHAs that it has, the ranges, and which of them is that of a deployment.

    `missing` says why it cannot be asked.
    """

    repository_id: str
    questions: Sequence[_Question]
    mirror: Mirror | None = None
    missing: str | None = None
    shas: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    range_ids: Mapping[str, str] = field(default_factory=dict)


class _Answers:
    """Rows for the tables of the step, repository by repository."""

    def __init__(self, repositories: Repositories, squash_merges: str, *, asks_requests: bool) -> None:
        self.ranges: list[tuple[object, ...]] = []
        self.had: list[tuple[object, ...]] = []
        self.tips: list[tuple[object, ...]] = []
        self.found_ranges: list[pl.DataFrame] = []
        self.found_commits: list[pl.DataFrame] = []
        self._repositories = repositories
        self._squash_merges = squash_merges
        self._asks_requests = asks_requests

    def ask(self, repository_id: str, questions: Sequence[_Question]) -> _Asked:
        """Ask a repository for the commits of its questions, which are in order of deployment."""
        mirror = self._repositories.mirror(repository_id)
        if mirror is None or not questions:
            return _Asked(repository_id, questions, missing="repository_not_configured")
        wanted = {sha for question in questions for sha in (question.base_sha, question.head_sha) if sha}
        shas = self._repositories.resolved(mirror, wanted)
        if shas is None:
            return _Asked(repository_id, questions, missing="repository_missing")
        ranges: dict[str, Range] = {}
        range_ids: dict[str, str] = {}
        for question in questions:
            base, head = shas.get(question.base_sha or ""), shas.get(question.head_sha)
            if question.is_ranged and base and head:
                found = Range(base, head, tuple(question.patterns))
                key = range_id(repository_id, found.base, found.head, found.patterns, self._squash_merges)
                ranges[key], range_ids[question.deployment_id] = found, key
        return _Asked(repository_id, questions, mirror, None, shas, ranges, range_ids)

    def add(self, asked: _Asked, tips: Mapping[_History, _Tips], kept: KeptRanges) -> None:
        """Answer the questions of a repository, where `tips` had been delivered before."""
        known = self._known(asked, tips, kept)
        for question in asked.questions:
            self.ranges.append(known.row(question))
        by_history: dict[_History, list[_Question]] = {history: [] for history in tips}
        for question in asked.questions:
            by_history.setdefault(question.in_history, []).append(question)
        for history, questions in by_history.items():
            before = tips.get(history, {})
            rows = self._walk(known, known.graph, questions, before) if known.graph else _kept(before)
            self.tips.extend((*history, asked.repository_id, *row) for row in rows)

    def _known(self, asked: _Asked, tips: Mapping[_History, _Tips], kept: KeptRanges) -> "_Known":
        mirror, questions, shas, ranges = asked.mirror, asked.questions, asked.shas, asked.ranges
        if mirror is None:
            return _Known(asked.missing)
        cached = {key: kept.landed.get(key, []) for key in ranges}
        unknown = kept.unknown(ranges, asks_requests=self._asks_requests)
        if self._squash_merges == "expand" and asked.repository_id in kept.squashing:
            unknown |= _followed(questions, shas, asked.range_ids)
        originals = {sha for commits in cached.values() for landed in commits for sha in _shas(landed) if landed[2]}
        before = {sha for history in tips.values() for sha in history}
        present = self._repositories.present(mirror, originals | before)
        heads = {shas[question.head_sha] for question in questions if question.head_sha in shas}
        found_ranges = self._repositories.ranges(
            mirror,
            {key: ranges[key] for key in sorted(unknown)},
            heads | present,
            _bases(questions, shas, tips, present),
        )
        if found_ranges is None:
            return _Known(missing="repository_missing")
        # What the repository has lost since is as it was.
        whole = [
            key
            for key, unexpanded in found_ranges.ranges.select("range_id", "unexpanded").iter_rows()
            if not {squash for _, squash, _ in cached[key] if squash}.intersection(unexpanded)
        ]
        read, commits = (
            frame.filter(pl.col("range_id").is_in(whole)) for frame in (found_ranges.ranges, found_ranges.commits)
        )
        if whole:
            self.found_ranges.append(read.with_columns(repository_id=pl.lit(asked.repository_id)))
            self.found_commits.append(commits)
        cached |= {key: [] for key in whole}
        names = ("range_id", "commit_sha", "landed_as_sha", "landings")
        for key, sha, squash, landings in commits.select(names).iter_rows():
            cached[key].append((sha, squash, landings))
        unseen = (originals | before) - present
        return _Known(None, shas, asked.range_ids, cached, found_ranges.reading.graph, unseen)

    def _walk(
        self, known: "_Known", graph: CommitGraph, questions: Sequence[_Question], before: _Tips
    ) -> Iterator[_TipRow]:
        """Note what was had already, deployment by deployment; the tips with the days on which they became and were
        tips, those of before included."""
        live = dict(before)
        delivered = Delivered(graph, [sha for sha in before if sha not in known.unseen])
        for day, asked in groupby(questions, lambda question: question.day):
            for question in asked:
                landed = known.landed.get(known.range_ids.get(question.deployment_id, ""), [])
                had = delivered.repeated({sha for commit in landed for sha in _shas(commit)} - known.unseen)
                self.had.extend(
                    (question.deployment_id, *commit[:2]) for commit in landed if not had.isdisjoint(_shas(commit))
                )
                if head := known.shas.get(question.head_sha):
                    delivered.add(head)
            for gone in live.keys() - delivered.tips - known.unseen:
                yield gone, live.pop(gone), day
            live.update((sha, day) for sha in delivered.tips - live.keys())
        yield from _kept(live)


@dataclass(frozen=True)
class _Known:
    """What a repository knows: whole SHAs, the ranges of deployments, the commits that landed with each, the graph.

    `missing` says why nothing is known; `unseen` are SHAs of before that the mirror has lost.
    """

    missing: str | None = None
    shas: Mapping[str, str] = field(default_factory=dict)
    range_ids: Mapping[str, str] = field(default_factory=dict)
    landed: Mapping[str, list[Landed]] = field(default_factory=dict)
    graph: CommitGraph | None = None
    unseen: Set[str] = frozenset()

    def row(self, question: _Question) -> tuple[object, ...]:
        """The row of landing.deployment_ranges."""
        head, base = self.shas.get(question.head_sha), self.shas.get(question.base_sha or "")
        is_behind = bool(self.graph and head and base and head != base and self.graph.reaches(base, head))
        reason = self.missing
        if reason is None and head is None:
            reason = "commit_missing"
        if reason is None and base is None and question.base_sha is not None:
            reason = "previous_commit_missing"
        asked = (question.repository_id, question.base_sha, question.head_sha, question.patterns, question.is_ranged)
        found = (head, base, self.range_ids.get(question.deployment_id), reason, is_behind)
        return question.deployment_id, *question.in_history, *asked, *found, question.day


def _followed(questions: Sequence[_Question], shas: Mapping[str, str], keys: Mapping[str, str]) -> set[str]:
    """The ranges of deployments behind one of which the same was not known before.

    Its commit may have come to the repository after theirs were read, and hold what they bring, picked from another
    branch.
    """
    found: set[str] = set()
    for _, asked in groupby(questions, lambda question: question.in_history):
        is_new = False
        for question in asked:
            if is_new and question.deployment_id in keys:
                found.add(keys[question.deployment_id])
            is_new = is_new or shas.get(question.head_sha) != question.known_sha
    return found


def _shas(landed: Landed) -> set[str]:
    """A commit, and what stands for it."""
    sha, squash, landings = landed
    return {sha, squash or sha, *landings}


def _kept(tips: _Tips) -> Iterator[_TipRow]:
    yield from ((sha, day, None) for sha, day in tips.items())


def _bases(
    questions: Sequence[_Question], shas: Mapping[str, str], tips: Mapping[_History, _Tips], present: Collection[str]
) -> set[str]:
    """Commits whose common history need not be read: what is in it, each of the histories has had."""
    bases = {shas[question.base_sha] for question in questions if question.base_sha and question.base_sha in shas}
    begun: dict[_History, str] = {}
    for question in questions:
        if question.in_history not in begun:
            before = [(day, sha) for sha, day in tips.get(question.in_history, {}).items() if sha in present]
            first = max(before)[1] if before else shas.get(question.head_sha)
            begun |= {question.in_history: first} if first else {}
    return bases | set(begun.values())
