"""Names that come from outside, made comparable, and texts that may be shown.

Environments, services, teams and versions are trimmed text. Repository URLs become `host/path` in lower case.
What does not belong here: reading of files, and rules about events.
"""

import os
import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Literal
from urllib.parse import unquote

# What is counted.
EventType = Literal["deployment", "failure"]
# A commit, whole or the beginning of one, as a regular expression.
COMMIT_SHA = "[0-9a-fA-F]{7,64}"

# Also without its second slash, and without a scheme: what stands before the host is no part of the name.
_SCHEME = re.compile(r"^(?:(?:[a-z][a-z0-9+.-]*:)?//|(?:https?|ssh):/)", re.IGNORECASE)
_SCP_STYLE = re.compile(r"^(?:[^@/\s]+@)?(?P<host>[^:/\s@]+):(?!\d+/)(?![^/]*@)(?P<path>[^\s]+)$")
# The second form is a password with a slash in it. No two attempts look at the same text: that takes linear time.
_CREDENTIALS = re.compile(r"://(?:[^/\s\"@]*+@|[^/\s\"@:]*+:(?!\d*+/)(?:[^\s\"@:]|:(?!//))*+@)+")
# The same without a scheme, where a host and a path follow, or a token alone, which is longer than the name of a user;
# what may stand before it is no part of it, so that it takes linear time.
_BARE_CREDENTIALS = re.compile(
    r"""(?<![^\s"',;(<])((?:https?:/|ssh:/|//)?)(?:[^\s"',;(<>@:/]{1,255}+:(?!/)[^\s"',;(<>@]{1,255}+|[\w-]{20,255}+)@"""
    r"""(?=[\w-]+(?:\.[\w-]+)+(?::\d+)?[:/][\w~./-])""",
    re.IGNORECASE,
)
_SECRET_PARAMETER = re.compile(r"([?&][\w-]{0,40}(?:token|secret|password)=)[^&#\s\"'<>]+", re.IGNORECASE)
_SECRET = re.compile("TOKEN|KEY|SECRET|PASSWORD")
# What is shorter is no secret, and would make holes in ordinary words.
_SHORTEST_SECRET = 8
_HOST = re.compile(r"[^:%\s]*(?::\d*)?|\[[0-9a-f:.]+\](?::\d+)?", re.IGNORECASE)
_DEFAULT_PORT = re.compile(r":(?:22|443)$")
# How environments are called beside their full names.
_ENVIRONMENTS = {
    "prod": "production",
    "prd": "production",
    "stage": "staging",
    "stg": "staging",
    "dev": "development",
    "devel": "development",
    "develop": "development",
    "test": "testing",
    "tst": "testing",
}
NO_VERSION = {"", "n/a", "none", "null", "unknown"}
# Hosts under which code hosts answer as well: browsers' form, and SSH over the port of HTTPS.
_OTHER_HOSTS = {
    "www.github.com": "github.com",
    "ssh.github.com": "github.com",
    "www.gitlab.com": "gitlab.com",
    "altssh.gitlab.com": "gitlab.com",
    "www.bitbucket.org": "bitbucket.org",
    "altssh.bitbucket.org": "bitbucket.org",
}
# Azure DevOps: the organization's old host, SSH without `_git`, and a project's repository that has the project's name.
_AZURE_OLD_HOST = re.compile(r"^(?!vs-ssh\.)([^./]+)\.visualstudio\.com/")
_AZURE_SSH = re.compile(r"(?:ssh\.dev\.azure\.com|vs-ssh\.visualstudio\.com)/v3/([^/]+)/([^/]+)/([^/]+)")
_AZURE = re.compile(r"dev\.azure\.com/([^/]+)/(?:defaultcollection/)?(?:([^/]+)/)?_git/(?:_full/|_optimized/)?([^/]+)")


def without_credentials(text: str) -> str:
    """The text without the `user:password@` of every URL in it, with a scheme or without, and without its tokens."""
    if "@" in text:
        text = _BARE_CREDENTIALS.sub(r"\1", _CREDENTIALS.sub("://", text))
    return _SECRET_PARAMETER.sub(r"\1***", text) if "=" in text else text


def without_secrets(text: str) -> str:
    """The text without the passwords of URLs, and without the value of any environment variable that holds a secret."""
    named = [value for name, value in os.environ.items() if _SECRET.search(name)]
    secrets = {part.strip() for value in named for part in value.split(",")}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return without_credentials(text)


def repository_id(url: str | None) -> str | None:
    """`host/path` in lower case, without scheme, user, password, port 22 or 443, query and `.git`.

    `git@github.com:Org/App.git` and `https://user:token@github.com/org/app` are both `github.com/org/app`, and so is
    `ssh://git@ssh.github.com:443/org/app`. Repositories of Azure DevOps are `dev.azure.com/org/project/_git/repo`.
    None for a blank URL and for one without a host or a path. The rule is that of Datadog's `repository_id`.
    """
    if url is None:
        return None
    text = url.strip()
    scheme = _SCHEME.match(text)
    if scheme:
        text = text[scheme.end() :]
    elif scp := _SCP_STYLE.match(text):
        text = f"{scp['host']}/{scp['path']}"
    text = re.split(r"[?#]", text, maxsplit=1)[0]
    host, separator, path = text.partition("/")
    host = _DEFAULT_PORT.sub("", host.rpartition("@")[2]).lower()
    path = re.sub(r"/+", "/", unquote(path)).strip("/").lower()
    path = path.removesuffix(".git").rstrip("/")
    if not separator or not path or not _HOST.fullmatch(host) or (not host and not text.startswith("/")):
        return None
    return _under_one_host(_OTHER_HOSTS.get(host, host), path) if host else path


def _under_one_host(host: str, path: str) -> str:
    name = _AZURE_OLD_HOST.sub(r"dev.azure.com/\1/", f"{host}/{path}")
    if match := _AZURE_SSH.fullmatch(name) or _AZURE.fullmatch(name):
        organization, project, repository = match.groups()
        return f"dev.azure.com/{organization}/{project or repository}/_git/{repository}"
    return name


def version_of(text: str | None) -> str | None:
    """The trimmed version; None where it says that there is none: blank, N/A, none, null or unknown in any case."""
    version = (text or "").strip()
    return None if version.lower() in NO_VERSION else version


def plain_environment(name: str) -> str:
    """An environment without what people write in several ways: case, separators, and short forms as of production.

    Two names that become one look like one; that they are one only settings say.
    """
    words = re.findall(r"[^\W_]+", name.casefold())
    return "".join(_ENVIRONMENTS.get(word, word) for word in words) or name


def suggestion(name: str, known: Collection[str]) -> str:
    """`; did you mean 'shop'?`, to stand behind a message about an unknown name; nothing where none is near."""
    near = get_close_matches(name, known, n=1, cutoff=0.7)
    return f"; did you mean {near[0]!r}?" if near else ""
