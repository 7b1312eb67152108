"""Settings of what is pulled from Datadog: its own source, and those of which it knows too."""

from dora_pipeline.config import FailureSection, Section

SOURCE = "datadog_incidents"
SECRETS = ("DD_API_KEY", "DD_APP_KEY")


class AlsoOnDatadog(Section):
    """The section of a source whose events come another way, and can be pulled from Datadog beside that."""

    pull_from_datadog: bool = False


class DatadogIncidentsSettings(FailureSection):
    """`sources.datadog_incidents`."""
