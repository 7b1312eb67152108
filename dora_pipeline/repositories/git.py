"""One git process: its surroundings, its time limit, its errors.

Arguments are a list and never pass through a shell. Hooks, prompts, replace objects and the `GIT_DIR` of a
surrounding git hook have no effect. No git process outlives ours, however ours ends. What does not belong here: what
git is asked.
"""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from dora_pipeline.errors import RepositoryError
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.process_groups import WATCHER

QUERY_TIMEOUT = 600.0
TRANSFER_TIMEOUT = 3600.0
_GRACE = 5.0
# Of a line that git writes.
_LONGEST = 400

# How the user reaches servers is kept; all else that begins with GIT_ describes some other repository or run.
_KEPT_VARIABLES = re.compile(r"GIT_(SSL_\w+|PROXY_\w+|HTTP_\w+|SSH\w*|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM)|EXEC_PATH)")
_FIXED_VARIABLES = {
    "LC_ALL": "C",
    "GIT_ALLOW_PROTOCOL": "file:https:ssh",
    "GIT_ASKPASS": "",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "SSH_ASKPASS_REQUIRE": "never",
}
_WITHOUT_USER_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
_SETTINGS = (
    f"core.hooksPath={os.devnull}",
    # Nothing may go on in the background.
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.writeCommitGraph=false",
    # Generation numbers of version 2 are made of dates: with one of the year 10^15, git 2.39 computes them for ever.
    "commitGraph.generationVersion=1",
    # Commits with impossible dates are in many old repositories, and servers keep them.
    "fetch.fsckObjects=false",
    "transfer.fsckObjects=false",
)


class GitError(RepositoryError):
    """Git failed; `said` are the last lines that it wrote."""

    def __init__(self, command: str, repository: Path, said: Sequence[str]) -> None:
        super().__init__(f"git {command} failed in {repository}: {'; '.join(said)}")
        self.said = said


def run_query(repository: Path, arguments: Sequence[str], stdin: bytes = b"") -> str:
    """What git prints about a local repository; the user's own git settings have no effect.

    Raises RepositoryError when git fails, is not there or takes longer than QUERY_TIMEOUT seconds.
    """
    output, _ = _run(repository, arguments, stdin, _WITHOUT_USER_SETTINGS, QUERY_TIMEOUT, ())
    return output


def run_transfer(
    repository: Path, arguments: Sequence[str], variables: Mapping[str, str], held: Collection[int] = ()
) -> tuple[str, str]:
    """What git prints, and its warnings, when it talks to a remote with the user's proxies, keys and helpers.

    `variables` are added to the environment; `held` are file descriptors that stay open as long as git lives.
    Raises RepositoryError when git fails, is not there or takes longer than TRANSFER_TIMEOUT seconds.
    """
    return _run(repository, arguments, b"", variables, TRANSFER_TIMEOUT, held)


def lines(texts: Iterable[str]) -> bytes:
    """Texts as git reads them, one a line."""
    return "".join(f"{text}\n" for text in texts).encode()


def _run(
    repository: Path,
    arguments: Sequence[str],
    stdin: bytes,
    variables: Mapping[str, str],
    timeout: float,
    held: Collection[int],
) -> tuple[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or _KEPT_VARIABLES.fullmatch(name)
    }
    settings = [part for setting in _SETTINGS for part in ("-c", setting)]
    try:
        WATCHER.start()
        # A session of its own has no terminal, so that ssh cannot ask, and can be ended with all its helpers.
        process = subprocess.Popen(
            ["git", f"--git-dir={repository}", *settings, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**inherited, **_FIXED_VARIABLES, **variables},
            start_new_session=True,
            pass_fds=tuple(held),
        )
    except OSError as error:
        raise RepositoryError(
            f"git cannot be started ({error.strerror}); install git and put it on the PATH"
        ) from error
    with process:
        WATCHER.add(process.pid)
        try:
            output, messages = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            _end(process)
            raise RepositoryError(
                f"git {arguments[0]} in {repository} took longer than {timeout:g} s and was ended; "
                "run again when the machine and the network have more time"
            ) from None
        except BaseException:
            _end(process)
            raise
        finally:
            WATCHER.remove(process.pid)
    said = _readable(messages)
    if process.returncode != 0:
        raise GitError(arguments[0], repository, said or [f"exit status {process.returncode}"])
    return output.decode("utf-8", "replace"), "; ".join(said)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends git and its helpers; asked first, so that it can take away its lock files."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_GRACE)
        os.killpg(process.pid, signal.SIGKILL)


def _readable(messages: bytes) -> list[str]:
    """The last lines that git or the server wrote, without credentials and control characters."""
    text = "".join(letter if letter.isprintable() else "\n" for letter in messages.decode("utf-8", "replace"))
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return [without_credentials(line)[:_LONGEST] for line in lines[-8:]]
