"""What the standard suite needs of a source: an account at a fake vendor, in `vendor.py` of the source's folder."""

from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from typing import Any, Protocol

from dora_pipeline_tests.vendors.server import FakeVendor


class Account(Protocol):
    """An account at a vendor; `secrets` are by the name of their variable.

    So many events as `more_than_a_page` fill several pages, or all of the only one that there is.
    """

    vendor: FakeVendor
    secrets: Mapping[str, str]
    more_than_a_page: int

    def settings(self) -> dict[str, Any]:
        """What `dora.yaml` holds, so that the source pulls from here."""

    def tell(self, number: int, started: datetime, finished: datetime | None) -> None:
        """Add the event of a number, or put it in the place of the one with it; open where it has not finished."""


def account_of(source: str) -> Account:
    """A new account of a source. Raises ModuleNotFoundError where its folder has no fake vendor."""
    account: Account = import_module(f"dora_pipeline_tests.sources.{source}.vendor").Account()
    return account
