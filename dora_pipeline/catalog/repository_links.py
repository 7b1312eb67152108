"""Repository links of service definitions: the repository, and the folder of it that a link points at.

The forms are those that the code hosts show in a browser's address bar (reference: Datadog's setup page of DORA
Metrics, monorepo filters).
"""

import glob
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote

from dora_pipeline.identifiers import repository_id

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)?(?P<place>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?", re.IGNORECASE)

# The branch is one segment of the path: nothing in a URL tells where a branch named `feature/x` ends.
_BROWSED = (
    # GitLab
    re.compile(r"(?P<repository>.+?)/-/(?:tree/[^/]+(?:/(?P<folder>.*))?|.*)"),
    # Bitbucket Cloud
    re.compile(r"(?P<repository>(?:[^/@]*@)?bitbucket\.org/[^/]+/[^/]+)/src/[^/]+(?:/(?P<folder>.*))?"),
    # GitHub, and GitLab as it was
    re.compile(r"(?P<repository>[^/]+/[^/]+/[^/]+)/(?:tree/[^/]+(?:/(?P<folder>.*))?|blob/.*)"),
)
_AZURE = re.compile(r".+/_git/[^/]+/?")


@dataclass(frozen=True)
class RepositoryLink:
    """A repository: its id, its URL as written (which may hold credentials), and the globs of the linked folder."""

    repository_id: str
    url: str = field(repr=False)
    patterns: tuple[str, ...]


def repository_link(url: str) -> RepositoryLink | None:
    """The repository that a link points at; None where the URL is not that of a repository.

    A link to a folder (`/tree/<branch>/src/x` of GitHub, `/-/tree/<branch>/src/x` of GitLab, `/src/<branch>/src/x` of
    Bitbucket, `?path=/src/x` of Azure DevOps) gives the pattern `src/x/**`. A branch is taken to be one segment long;
    a service whose link names a branch with a slash needs source patterns of its own.
    """
    parts = _URL.fullmatch(url.strip())
    if parts is None:
        return None
    scheme, place, folder = parts["scheme"] or "", parts["place"], ""
    if _AZURE.fullmatch(place):
        folder = parse_qs(parts["query"] or "").get("path", [""])[0]
    elif browsed := next(filter(None, (form.fullmatch(place) for form in _BROWSED)), None):
        place = browsed["repository"]
        folder = unquote(browsed["folder"] or "")
    identity = repository_id(scheme + place)
    if identity is None:
        return None
    folder = folder.strip("/")
    return RepositoryLink(identity, scheme + place, (f"{glob.escape(folder)}/**",) if folder else ())
