"""The mirrors of a home's repositories, and what a run asks of them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from dora_pipeline.catalog import Catalog, Service
from dora_pipeline.errors import RepositoryError
from dora_pipeline.pipeline.session import Session
from dora_pipeline.repositories.git import GitError
from dora_pipeline.repositories.messages import messages
from dora_pipeline.repositories.mirror import Mirror
from dora_pipeline.repositories.patterns import has_files
from dora_pipeline.repositories.ranges import FoundRanges, Range, read_ranges
from dora_pipeline.repositories.resolution import is_abbreviated
from dora_pipeline.repositories.squash_merges import Heads
from dora_pipeline.repositories.troubles import unreadable

Result = TypeVar("Result")


class Repositories:
    """The mirrors of the repositories that settings or catalog name.

    Each is fetched at most once a run, and one that cannot be read is made again, at most once. What goes wrong with a
    repository is noted, and keeps nothing else from being loaded; `errors` has it by repository.
    """

    def __init__(self, session: Session) -> None:
        self.errors: dict[str, str] = {}
        self._folder = session.home.git
        self._urls: Mapping[str, str] = {**session.catalog.repositories(), **session.settings.repositories}
        self._progress = session.progress
        self._fetches = session.fetches
        self._expands = session.settings.squash_merges == "expand"
        # Those that were fetched, and whether that went well; the commits that each was searched for in vain.
        self._fetched: dict[str, bool] = {}
        self._searched: dict[str, set[str]] = {}
        self._offered: dict[str, Mapping[str, str] | None] = {}
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
        has is used. A rebuild, which fetches nothing, asks whether the mirror has lost commits.
        """
        wanted, name = set(shas), mirror.repository_id
        found = self._answer(mirror, lambda: mirror.resolve(wanted)) or {}
        missing = wanted - found.keys() - self._searched.get(name, set())
        if missing and fetches:
            is_first = name not in self._searched
            if self._fetches and name not in self._unreadable and self._fetch(mirror):
                found = self._answer(mirror, lambda: mirror.resolve(wanted)) or {}
                if missing - found.keys():
                    self._answer(mirror, lambda: mirror.fetch_commits(mirror.missing(missing)))
                    self._answer(
                        mirror, lambda: mirror.fetch_requests(self._requests_of(mirror, mirror.missing(missing)))
                    )
                    found = self._answer(mirror, lambda: mirror.resolve(wanted)) or {}
            if is_first and mirror.exists and len(found) < len(wanted):
                # Either the remote has no such commits, or the mirror has lost them.
                self._answer(mirror, mirror.check)
                found = self._answer(mirror, lambda: mirror.resolve(wanted)) or {}
            self._searched.setdefault(name, set()).update(missing - found.keys())
        return found if mirror.exists and name not in self._unreadable else None

    def present(self, mirror: Mirror, shas: Collection[str]) -> set[str]:
        """Those of the full SHAs that are commits of the mirror as it is."""
        return {*shas} - (self._answer(mirror, lambda: mirror.missing(shas)) or set())

    def ranges(
        self, mirror: Mirror, ranges: Mapping[str, Range], heads: Collection[str], bases: Collection[str]
    ) -> FoundRanges | None:
        """What `read_ranges` gives; None where the mirror cannot be read."""
        heads_of_requests = partial(self._heads_of_requests, mirror) if self._expands else None
        return self._answer(mirror, lambda: read_ranges(mirror, ranges, heads_of_requests, heads, bases))

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

    def offers_requests(self, repository_id: str) -> bool:
        """Whether the remote of the repository says which requests it has."""
        mirror = self.mirror(repository_id)
        return mirror is not None and mirror.exists and self._offered_requests(mirror) is not None

    def with_offered_requests(self, repository_id: str, squash_commits: Collection[str]) -> set[str]:
        """Those of some squash commits whose requests the remote has now."""
        mirror = self.mirror(repository_id)
        offered = self._offered_requests(mirror) if mirror and mirror.exists and self._expands else None
        if not (mirror and offered):
            return set()
        there = self.present(mirror, squash_commits)
        said = self._answer(mirror, lambda: messages(mirror, there)) or {}
        return {sha for sha, message in said.items() if not offered.keys().isdisjoint(message.requests)}

    def _heads_of_requests(self, mirror: Mirror, refs: Collection[str]) -> Heads:
        known = mirror.heads_of_requests()
        missing = {*refs} - known.keys()
        if not missing:
            return Heads(known, is_final=True)
        offered = self._offered_requests(mirror)
        if offered is None:
            return Heads(known, is_final=False)
        wanted = missing & offered.keys()
        if wanted:
            try:
                mirror.fetch_requests(wanted)
            except RepositoryError as error:
                self._progress.note(str(error))
            known = mirror.heads_of_requests()
        return Heads(known, is_final=wanted <= known.keys())

    def _requests_of(self, mirror: Mirror, shas: Iterable[str]) -> list[str]:
        """The requests of the remote whose heads begin with one of the abbreviated SHAs, which git does not fetch."""
        short = tuple(sha.lower() for sha in shas if is_abbreviated(sha))
        offered = self._offered_requests(mirror) if short else None
        return [ref for ref, head in (offered or {}).items() if head.startswith(short)]

    def _offered_requests(self, mirror: Mirror) -> Mapping[str, str] | None:
        """The heads of requests that the remote has, asked once a run; None where it cannot be asked."""
        name = mirror.repository_id
        if self._fetches and name not in self._offered:
            self._offered[name] = None
            try:
                self._offered[name] = mirror.offered_requests()
            except RepositoryError as error:
                self._progress.note(str(error))
        return self._offered.get(name)

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
                self._note_error(mirror, str(error))
        return self._fetched[mirror.repository_id]

    def _answer(self, mirror: Mirror, question: Callable[[], Result]) -> Result | None:
        """The answer of a mirror, which is made again where it has none; None where that does not help."""
        name = mirror.repository_id
        if name in self._unreadable:
            return None
        try:
            return question()
        except RepositoryError as error:
            said = unreadable(error.said if isinstance(error, GitError) else [str(error)])
            reason = f"{name}: {said}; the next `dora run` that can fetch it makes it again"
        if self._fetches and name not in self._made_again:
            self._made_again.add(name)
            try:
                mirror.make_again(said)
                self._fetched[name] = True
                return question()
            except RepositoryError as error:
                reason = str(error)
        self._unreadable.add(name)
        self._note_error(mirror, reason)
        return None

    def _note_error(self, mirror: Mirror, error: str) -> None:
        self.errors[mirror.repository_id] = error
        self._progress.note(error)
