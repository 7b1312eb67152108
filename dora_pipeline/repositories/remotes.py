"""Addresses of repositories: which are allowed, and how their passwords reach git unseen.

What does not belong here: the making of identifiers from addresses (`identifiers.py`), and fetching.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dora_pipeline.errors import RepositoryError
from dora_pipeline.repositories.git import run_query

_SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_SCP_STYLE = re.compile(r"(?:[\w.~+-]+@)?(?!-)(?:[\w.-]+|\[[0-9a-f:]+\]):(?![-:]).+", re.IGNORECASE)
_OF_PARTIAL_CLONES = r"^(extensions\.partialclone|remote\..*\.(promisor|partialclonefilter))$"
_CREDENTIALS = re.compile(r"(?<=://).*@")

# Git asks this for user and password; it is a constant that reads the secrets from the environment.
_CREDENTIAL_HELPER = (
    '!f() { test "$1" != get || printf "username=%s\\npassword=%s\\n" "$DORA_GIT_USERNAME" "$DORA_GIT_PASSWORD"; }; f'
)


@dataclass(frozen=True)
class Remote:
    """What git is told: an address that holds no password, and variables for its environment.

    `folder` is that of a repository of this machine.
    """

    address: str
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: Path | None = None

    def __str__(self) -> str:
        return _CREDENTIALS.sub("", self.address)

    def is_partial(self) -> bool:
        """Whether it is known to be a clone that left out objects, to get them when they are needed."""
        places = (self.folder / ".git", self.folder) if self.folder else ()
        for place in places:
            # Git fails where no setting has such a name.
            with suppress(RepositoryError):
                run_query(place, ["config", "--get-regexp", _OF_PARTIAL_CLONES])
                return True
        return False


def remote_of(url: str, home: Path) -> Remote:
    """The remote that an address of the settings means; a relative path starts at the home.

    User and password of an https URL go to git through its environment, where neither `ps` nor messages show them.
    Raises RepositoryError for any other transport than https, ssh and local files.
    """
    url = url.strip()
    if not url or url.startswith("-") or not url.isprintable() or not unquote(url).isprintable():
        raise _refused(url)
    if scheme := _SCHEME.match(url):
        return _remote_of_url(url, scheme["scheme"].lower())
    if ":" in url.partition("/")[0]:
        if _SCP_STYLE.fullmatch(url):
            return Remote(url)
        raise _refused(url)
    try:
        folder = home / Path(url).expanduser()
    except RuntimeError:
        raise _refused(url) from None
    return Remote(str(folder), folder=folder)


def _remote_of_url(url: str, scheme: str) -> Remote:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        has_path = len(parts.path) > 1 and (parts.port is None or parts.port > 0)
    except ValueError:
        raise _refused(url) from None
    if scheme == "file" and has_path and host in ("", "localhost"):
        return Remote(url, folder=Path(unquote(parts.path)))
    if scheme not in ("https", "ssh") or not has_path or not host or host.startswith("-"):
        raise _refused(url)
    user, separator, place = parts.netloc.rpartition("@")
    if scheme == "ssh" or not separator:
        if user.startswith("-"):
            raise _refused(url)
        return Remote(url)
    helper = f"credential.https://{place}.helper"
    return Remote(
        parts._replace(netloc=place).geturl(),
        {
            "DORA_GIT_USERNAME": unquote(parts.username or ""),
            "DORA_GIT_PASSWORD": unquote(parts.password or ""),
            "GIT_CONFIG_COUNT": "2",
            # The empty one takes away the user's helpers, which would store what they are told.
            "GIT_CONFIG_KEY_0": helper,
            "GIT_CONFIG_VALUE_0": "",
            "GIT_CONFIG_KEY_1": helper,
            "GIT_CONFIG_VALUE_1": _CREDENTIAL_HELPER,
        },
    )


def _refused(url: str) -> RepositoryError:
    shown = repr(_CREDENTIALS.sub("", url)) if url.isprintable() else "the text"
    return RepositoryError(
        f"{shown} is not an address that repositories are fetched from; write an https:// or ssh:// URL, "
        "git@host:path, a file:// URL or a local path"
    )
