"""Settings of Statuspage: `sources.statuspage`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from dora_pipeline.config import FailureSection, Shapes
from dora_pipeline.setting_types import Texts, is_address

SOURCE = "statuspage"

Impact = Literal["none", "minor", "major", "critical"]


def _pages(addresses: tuple[str, ...]) -> tuple[str, ...]:
    for number, address in enumerate(addresses, start=1):
        # What cannot be read may hold a password, so it is not shown.
        if not is_address(address):
            raise ValueError(f"number {number} is not the address of a page, such as https://status.example.com")
    return tuple(dict.fromkeys(address.rstrip("/") for address in addresses))


class StatuspageSettings(FailureSection):
    """Which pages are read, and what their incidents impact.

    `components`: the service of a component, by its name or id; None for one that is no service of ours. A component
    that is not named here is the service of its name. `service` is that of incidents that name none.
    Incidents of less than `least_impact` are no failures.
    """

    pages: Annotated[Texts, AfterValidator(_pages), Shapes.PULLED] = ()
    components: Annotated[dict[str, str | None], Field(default_factory=dict), Shapes.RECORDS]
    service: Annotated[str | None, Shapes.RECORDS] = None
    least_impact: Annotated[Impact, Shapes.RECORDS] = "minor"
