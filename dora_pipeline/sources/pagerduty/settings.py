"""Settings of PagerDuty: `sources.pagerduty`."""

from typing import Annotated

from dora_pipeline.config import FailureSection, Shapes
from dora_pipeline.setting_types import Address, Texts

SOURCE = "pagerduty"
TOKEN = "PAGERDUTY_API_TOKEN"


class PagerDutySettings(FailureSection):
    """Where the account is, and which of its services and teams are wanted; all where none are named."""

    api_url: Address = "https://api.pagerduty.com"
    service_ids: Annotated[Texts, Shapes.RECORDS, Shapes.PULLED] = ()
    team_ids: Annotated[Texts, Shapes.RECORDS, Shapes.PULLED] = ()
