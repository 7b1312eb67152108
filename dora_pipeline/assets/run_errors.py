"""Errors as Dagster takes them: what passes is tried again, all else fails at once with its sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from dora_pipeline.errors import DoraError, SourceUnavailable, StorageUnavailable, WarehouseBusy
from dora_pipeline.identifiers import without_credentials

_PASSING = (SourceUnavailable, StorageUnavailable, WarehouseBusy)
_RETRIES = 2
_FIRST_WAIT_SECONDS = 30


@contextmanager
def errors_as_failures(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Raises, in place of a DoraError of the block, what `failure_of` says."""
    try:
        yield
    except DoraError as error:
        failure = failure_of(error, context.retry_number)
        raise failure from failure.__cause__


def failure_of(error: DoraError, attempt: int) -> dg.Failure | dg.RetryRequested:
    """What an asset is to raise in place of an error; `attempt` is 0 at first.

    A passing error is tried again after 30 and after 60 seconds.
    """
    failure = dg.Failure(description=without_credentials(str(error)), allow_retries=False)
    if not isinstance(error, _PASSING) or attempt >= _RETRIES:
        return failure
    retry = dg.RetryRequested(max_retries=_RETRIES, seconds_to_wait=_FIRST_WAIT_SECONDS * 2**attempt)
    retry.__cause__ = failure
    return retry
