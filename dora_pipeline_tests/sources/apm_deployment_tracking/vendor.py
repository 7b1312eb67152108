"""Datadog's list of deployments that it inferred from APM."""

from dora_pipeline_tests.sources.datadog_lists import ListAccount


class Account(ListAccount):
    """An organisation whose APM saw deployments."""

    def __init__(self) -> None:
        super().__init__("apm_deployment_tracking", "deployments", service="shop", env="prod", source="apm_deployments")
