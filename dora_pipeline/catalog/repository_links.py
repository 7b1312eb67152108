"""Repository links of service definitions: the repository, and the folder of it that a link points at.

The forms are those that the code hosts show in a browser's address bar (reference: Datadog's setup page of DORA
Metrics, monorepo filters).
"""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote

from dora_pipeline.catalog.source_patterns import folder_patterns
from dora_pipeline.identifiers import repository_id

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)?(?P<place>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?", re.IGNORECASE)

# What follows `tree/` is a branch and a folder; the URL does not tell where a branch named `feature/x` ends.
_BROWSED = (
    # GitLab
    re.compile(r"(?P<repository>.+?)/-/(?:tree/(?P<browsed>.+)|.*)"),
    # Bitbucket Cloud
    re.compile(r"(?P<repository>(?:[^/@]*@)?bitbucket\.org/[^/]+/[^/]+)/src/(?P<browsed>.+)"),
    # GitHub, and GitLab as it was
    re.compile(r"(?P<repository>[^/]+/[^/]+/[^/]+)/(?:tree/(?P<browsed>.+)|blob/.*)"),
)
_AZURE = re.compile(r".+/_git/[^/]+/?")


@dataclass(frozen=True)
class RepositoryLink:
    """A repository: its id, its URL as written (which may hold credentials), and the globs of the linked folder.

    `browsed` are the segments of a branch and the folder, where the URL does not tell them apart: then the globs are
    those of a branch without a slash.
    """

    repository_id: str
    url: str = field(repr=False)
    patterns: tuple[str, ...]
    browsed: tuple[str, ...] = ()


def repository_link(url: str) -> RepositoryLink | None:
    """The repository that a link points at; None where the URL is not that of a repository.

    A link to a folder (`/tree/<branch>/src/x` of GitHub, `/-/tree/<branch>/src/x` of GitLab, `/src/<branch>/src/x` of
    Bitbucket, `?path=/src/x` of Azure DevOps) gives the pattern `src/x/**`.
    """
    parts = _URL.fullmatch(url.strip())
    if parts is None:
        return None
    scheme, place = parts["scheme"] or "", parts["place"]
    patterns: tuple[str, ...] = ()
    browsed: tuple[str, ...] = ()
    if _AZURE.fullmatch(place):
        folder = parse_qs(parts["query"] or "").get("path", [""])[0].strip("/")
        patterns = folder_patterns(["", folder], ())
    elif link := next(filter(None, (form.fullmatch(place) for form in _BROWSED)), None):
        place = link["repository"]
        browsed = tuple(unquote(segment).strip("/") for segment in (link["browsed"] or "").split("/") if segment)
        patterns = folder_patterns(browsed, ())
    identity = repository_id(scheme + place)
    if identity is None:
        return None
    return RepositoryLink(identity, scheme + place, patterns, browsed if patterns else ())
