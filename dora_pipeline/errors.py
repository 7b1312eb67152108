"""The errors that a user or an operator can meet.

    DoraError
    ├─ ConfigError              a setting, a secret or a file of the home folder is missing or wrong
    ├─ SourceError
    │  ├─ SourceUnavailable     passing: timeouts, 408, 429, 5xx, cut answers, a file that cannot be read now
    │  ├─ SourceRejected        lasting: credentials, permissions, refused requests
    │  ├─ SourceIncomplete      the answer cannot be the whole truth: page loops, sudden shrinks
    │  └─ SourceBroken          something that nobody expected; its cause is the exception
    ├─ RepositoryError          a git mirror could not be made or fetched
    └─ WarehouseError           wrong version, disk full, rows that do not add up
       ├─ WarehouseBusy         passing: locked for too long
       └─ StorageUnavailable    passing: the place of the Parquet files cannot be read or written

A message says what is wrong, where, and what to do next. Messages never hold secrets.
"""

import errno

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class DoraError(Exception):
    """Any failure that is explained to the user in one line."""


class ConfigError(DoraError):
    """A setting is missing or wrong; the message lists every mistake. Trying again does not help."""


class SourceError(DoraError):
    """A source could not be read.

    `source` is the name of the source as users write it, such as `pagerduty`.
    """

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"{source}: {message}")
        self.source = source


class SourceUnavailable(SourceError):
    """The source does not answer now. Trying again later can help."""


class SourceRejected(SourceError):
    """The source refuses us. Trying again without a change does not help."""


class SourceIncomplete(SourceError):
    """The source's answer is not the whole truth; what was known before is kept."""


class SourceBroken(SourceError):
    """An exception that nobody expected, and that concerns this source alone; `__cause__` is that exception."""


class RepositoryError(DoraError):
    """A git mirror could not be made or brought up to date."""


class WarehouseError(DoraError):
    """The warehouse cannot be written, read or trusted: locked, of another version, no space, rows lost."""


class WarehouseBusy(WarehouseError):
    """Another run holds the warehouse. Trying again later can help."""


class StorageUnavailable(WarehouseError):
    """The place of the Parquet files cannot be read or written. Trying again later can help."""


def forbidden_file(error: BaseException) -> str | None:
    """What to do about a file that this user may not read or write; None where an error says anything else."""
    if isinstance(error, OSError) and error.errno in _FORBIDDEN and error.filename is not None:
        return f"{error.filename}: {error.strerror}; check owner and mode of this file and its folder"
    return None
