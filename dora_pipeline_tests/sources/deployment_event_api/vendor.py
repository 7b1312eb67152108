"""Datadog's list of deployments that were sent to it."""

from dora_pipeline_tests.sources.datadog_lists import ListAccount


class Account(ListAccount):
    """An organisation to which deployments were sent."""

    def __init__(self) -> None:
        super().__init__("deployment_event_api", "deployments", service="shop", env="prod")
