"""What git says where a remote cannot be fetched, in words that say what is wrong and what to do; and of a mirror.

What does not belong here: the running of git (`git.py`), whose messages are those of its C locale.
"""

import re
from collections.abc import Sequence

_ADDRESS = "check the address under `repositories` in dora.yaml"
# What git, ssh or a server writes, what it means, and what to do. The first that is found counts.
_TROUBLES: Sequence[tuple[str, str, str]] = (
    (
        r"could not read (Username|Password)|terminal prompts disabled|Authentication failed|Access denied"
        r"|returned error: 40[13]|Permission denied \(",
        "the server wants credentials, or does not take those that it gets",
        f"give the user who runs this an SSH key or a credential helper that may read it, and {_ADDRESS}",
    ),
    (
        r"Host key verification failed",
        "ssh does not know the key of the server",
        "connect to it once by ssh as the user who runs this, and accept the key",
    ),
    (
        r"[Rr]epository .*not found|not found: did you|returned error: 404|does not appear to be a git repository"
        r"|does not exist|Project not found",
        "there is no repository at this address, or none that this user may see",
        f"{_ADDRESS}, and that the user who runs this may read it",
    ),
    (
        r"dubious ownership",
        "its folder belongs to another user",
        "run `git config --global --add safe.directory` for it",
    ),
    (r"Could not resolve host", "the name of its host is not known", f"{_ADDRESS}, and the names and the proxy here"),
    (
        r"certificate|SSL|TLS",
        "the connection is not trusted",
        "give git the authority of its certificate, as by GIT_SSL_CAINFO",
    ),
    (
        r"onnection refused|onnection timed out|ould not connect|ailed to connect|ouldn't connect|unreachable"
        r"|No route to host|Operation timed out",
        "its server does not answer",
        f"{_ADDRESS}, the network and the proxy",
    ),
    (r"No space left", "there is no space left", "make some, where DORA_HOME is"),
    (
        r"early EOF|hung up|disconnect|RPC failed|returned error: (429|5\d\d)|Connection reset|Connection closed",
        "the server ended the connection before all was there",
        "run again; if it stays so, ask those who run the server",
    ),
)
_OTHER = ("git cannot fetch it", f"{_ADDRESS}, the network, and that the user who runs this may read it")


def trouble_text(said: Sequence[str]) -> str:
    """What is wrong, what to do, and the line of git that says so, of the lines that git wrote."""
    for pattern, what, advice in _TROUBLES:
        # An address can hold any word.
        line = next((line for line in said if re.search(pattern, re.sub("'[^']*'", "", line))), None)
        if line is not None:
            return _text(what, advice, line)
    return _text(*_OTHER, _telling(said))


def unreadable(said: Sequence[str]) -> str:
    """That a mirror cannot be read, and the line of git that says so."""
    return f"its mirror cannot be read (git: {_telling(said)})"


def _telling(said: Sequence[str]) -> str:
    return next((line for line in said if line.startswith("fatal:")), said[-1] if said else "it says nothing")


def _text(what: str, advice: str, line: str) -> str:
    return f"{what}; {advice} (git: {line})"
