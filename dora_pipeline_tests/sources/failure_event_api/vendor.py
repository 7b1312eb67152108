"""Datadog's list of failures that were sent to it."""

from dora_pipeline_tests.sources.datadog_lists import ListAccount


class Account(ListAccount):
    """An organisation to which failures were sent."""

    def __init__(self) -> None:
        super().__init__("failure_event_api", "failures", service=["shop"], env=["prod"])
