"""The commits that deployments brought: from mirrors of the repositories into the cache of ranges."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import polars as pl

from dora_pipeline.catalog import Catalog, Service
from dora_pipeline.errors import RepositoryError
from dora_pipeline.pipeline.progress import Progress
from dora_pipeline.pipeline.session import Session
from dora_pipeline.repositories.mirror import Mirror
from dora_pipeline.repositories.ranges import has_files, range_commits
from dora_pipeline.tables import CommitRanges, RangeCommits, empty_frame
from dora_pipeline.warehouse.ranges import keep_ranges, range_id, unknown_ranges
from dora_pipeline.warehouse.writer import Writer

# Reasons for which a later fetch may find what is missing now.
PASSING_REASONS = ("repository_missing", "commit_missing", "previous_commit_missing")

Answer = TypeVar("Answer")
# Base, head and patterns.
_Range = tuple[str, str, tuple[str, ...]]


@dataclass(frozen=True)
class _Wanted:
    deployment_id: str
    base: str
    head: str
    patterns: tuple[str, ...]


class Repositories:
    """The mirrors of the repositories that settings or catalog name.

    Each is fetched at most once a run, and one that cannot be read is made again, at most once. What goes wrong with a
    repository is noted, and keeps nothing else from being loaded.
    """

    def __init__(self, session: Session) -> None:
        self._folder = session.home.git
        self._urls: Mapping[str, str] = {**session.catalog.repositories(), **session.settings.repositories}
        self._progress = session.progress
        self._fetches = session.fetches
        # Those that were fetched, and whether that went well; those that were searched for missing commits.
        self._fetched: dict[str, bool] = {}
        self._searched: set[str] = set()
        self._made_again: set[str] = set()
        self._unreadable: set[str] = set()
        self._matched: dict[tuple[str, tuple[str, ...], bool], bool | None] = {}

    def mirror(self, repository_id: str) -> Mirror | None:
        """The mirror of a repository, None where nobody named it."""
        url = self._urls.get(repository_id)
        return None if url is None else Mirror(self._folder, repository_id, url, self._progress.note)

    def located(self, catalog: Catalog, deployed: Collection[str]) -> Catalog:
        """The catalog whose links are read by the branches and tags that the mirrors have.

        A repository is fetched where a link of one of the `deployed` services names none of them.
        """
        return catalog.with_refs(lambda service: self._refs(service, is_deployed=service.name in deployed))

    def resolved(self, mirror: Mirror, shas: Iterable[str], *, fetches: bool = True) -> dict[str, str] | None:
        """The full SHA for each SHA that the repository has; it is fetched when one is missing, if `fetches`.

        None where there is no mirror, or none that can be read. Where the repository cannot be fetched, what its mirror
        has is used.
        """
        wanted, name = set(shas), mirror.repository_id
        found = self._answer(mirror, lambda: mirror.resolve(wanted)) or {}
        if len(found) < len(wanted) and fetches and self._fetches and name not in self._searched:
            self._searched.add(name)
            if name not in self._unreadable and self._fetch(mirror):
                self._answer(mirror, lambda: mirror.fetch_commits(mirror.missing(wanted)))
            if mirror.exists and len(self._answer(mirror, lambda: mirror.resolve(wanted)) or {}) < len(wanted):
                # Either the remote has no such commits, or the mirror has lost them.
                self._answer(mirror, mirror.check)
            found = self._answer(mirror, lambda: mirror.resolve(wanted)) or {}
        return found if mirror.exists and name not in self._unreadable else None

    def commits(
        self, mirror: Mirror, ranges: Collection[tuple[str, str]], patterns: Sequence[str]
    ) -> pl.DataFrame | None:
        """The commits of each range, as `range_commits` gives them; None where the mirror cannot be read."""
        return self._answer(mirror, lambda: range_commits(mirror, ranges, patterns))

    def has_files(self, repository_id: str, patterns: Sequence[str]) -> bool | None:
        """Whether a file of one of the newest branches matches the patterns; None where there is no mirror."""
        # Batches of days ask the same; what a mirror has changes with its fetch only.
        question = (repository_id, tuple(patterns), self.is_fetched(repository_id))
        if question not in self._matched:
            mirror = self.mirror(repository_id)
            self._matched[question] = (
                self._answer(mirror, lambda: has_files(mirror, patterns)) if mirror and mirror.exists else None
            )
        return self._matched[question]

    def is_fetched(self, repository_id: str) -> bool:
        """Whether this run has brought the mirror up to date."""
        return self._fetched.get(repository_id, False)

    def _refs(self, service: Service, *, is_deployed: bool) -> list[str]:
        mirror = self.mirror(service.repository_id or "")
        if mirror is None:
            return []
        refs = self._answer(mirror, mirror.refs) or []
        if is_deployed and self._fetches and not service.names_one_of(refs) and self._fetch(mirror):
            refs = self._answer(mirror, mirror.refs) or []
        return refs

    def _fetch(self, mirror: Mirror) -> bool:
        """Fetches a repository that was not fetched yet; whether that went well."""
        if mirror.repository_id not in self._fetched:
            try:
                mirror.fetch()
                self._fetched[mirror.repository_id] = True
            except RepositoryError as error:
                self._fetched[mirror.repository_id] = False
                self._progress.note(str(error))
        return self._fetched[mirror.repository_id]

    def _answer(self, mirror: Mirror, question: Callable[[], Answer]) -> Answer | None:
        """The answer of a mirror, which is made again where it has none; None where that does not help."""
        name = mirror.repository_id
        if name in self._unreadable:
            return None
        try:
            return question()
        except RepositoryError as error:
            reason = f"{name}: its mirror cannot be read: {error}"
        if self._fetches and name not in self._made_again:
            self._made_again.add(name)
            try:
                mirror.make_again(reason)
                self._fetched[name] = True
                return question()
            except RepositoryError as error:
                reason = str(error)
        self._unreadable.add(name)
        self._progress.note(reason)
        return None


def days_of_found_commits(repositories: Repositories, missing: pl.DataFrame, since: date) -> list[date]:
    """The days whose missing commits can be had now.

    `missing` has repository_id, base_sha, head_sha, day of deployments without a lead time for a passing reason. A
    repository is fetched for them if it never was, or if one of the days is `since` or later; else only what other
    fetches brought is looked at.
    """
    days: set[date] = set()
    for (repository_id,), group in missing.partition_by("repository_id", as_dict=True).items():
        mirror = repositories.mirror(str(repository_id))
        if mirror is None:
            continue
        shas = {*group["base_sha"], *group["head_sha"]}
        is_worth_a_fetch = not mirror.exists or bool((group["day"] >= since).any())
        found = repositories.resolved(mirror, shas, fetches=is_worth_a_fetch) or {}
        is_found = pl.col("base_sha").is_in(list(found)) & pl.col("head_sha").is_in(list(found))
        days.update(group.filter(is_found)["day"])
    return sorted(days)


def assigned_ranges(
    writer: Writer, repositories: Repositories, deployments: pl.DataFrame, progress: Progress
) -> pl.DataFrame:
    """The range of each deployment, looked up where the cache does not have it.

    `deployments` has deployment_id, repository_id, base_sha, head_sha, patterns. The result has deployment_id,
    range_id, and reason where there is no range: `repository_not_configured`, `repository_missing`, `commit_missing`,
    `previous_commit_missing`.
    """
    rows: list[tuple[str, str | None, str | None]] = []
    groups = deployments.partition_by("repository_id", as_dict=True, maintain_order=True)
    for done, ((repository_id,), group) in enumerate(groups.items(), start=1):
        wanted = [
            _Wanted(row["deployment_id"], row["base_sha"], row["head_sha"], tuple(row["patterns"]))
            for row in group.iter_rows(named=True)
        ]
        rows.extend(_assigned(writer, repositories, str(repository_id), wanted))
        progress.step("look up commits", done, len(groups))
    return pl.DataFrame(
        rows, schema={"deployment_id": pl.String, "range_id": pl.String, "reason": pl.String}, orient="row"
    )


def _assigned(
    writer: Writer, repositories: Repositories, repository_id: str, wanted: list[_Wanted]
) -> list[tuple[str, str | None, str | None]]:
    mirror = repositories.mirror(repository_id)
    if mirror is None:
        return [(item.deployment_id, None, "repository_not_configured") for item in wanted]
    full = repositories.resolved(mirror, {sha for item in wanted for sha in (item.base, item.head)})
    if full is None:
        return [(item.deployment_id, None, "repository_missing") for item in wanted]
    rows: list[tuple[str, str | None, str | None]] = []
    ranges: dict[str, _Range] = {}
    for item in wanted:
        if item.head not in full:
            rows.append((item.deployment_id, None, "commit_missing"))
        elif item.base not in full:
            rows.append((item.deployment_id, None, "previous_commit_missing"))
        else:
            base, head = full[item.base], full[item.head]
            key = range_id(repository_id, base, head, item.patterns)
            ranges[key] = (base, head, item.patterns)
            rows.append((item.deployment_id, key, None))
    unread = _look_up(writer, repositories, mirror, ranges)
    return [(name, None, "repository_missing") if key in unread else (name, key, reason) for name, key, reason in rows]


def _look_up(
    writer: Writer, repositories: Repositories, mirror: Mirror, ranges: Mapping[str, _Range]
) -> set[str | None]:
    """Look up the ranges that the cache does not have; those that the mirror could not tell."""
    by_patterns: dict[tuple[str, ...], list[str]] = {}
    unread: set[str | None] = set()
    for key in unknown_ranges(writer, list(ranges)):
        by_patterns.setdefault(ranges[key][2], []).append(key)
    for patterns, keys in by_patterns.items():
        commits = repositories.commits(mirror, [ranges[key][:2] for key in sorted(keys)], patterns)
        if commits is None:
            unread.update(keys)
            continue
        known = pl.DataFrame(
            [(key, mirror.repository_id, *ranges[key][:2], list(patterns)) for key in sorted(keys)],
            schema=empty_frame(CommitRanges).schema,
            orient="row",
        )
        told = commits.join(known, on=["base_sha", "head_sha"]).select(empty_frame(RangeCommits).columns)
        keep_ranges(writer, known, told)
    return unread
