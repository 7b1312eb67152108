"""What tests ask of the lead times of a home whose settings name one repository."""

from dora_pipeline_tests.homes import TestHome

REPOSITORY = "example.com/org/app"


def reasons(home: TestHome) -> dict[str, str | None]:
    return dict(home.rows("SELECT deployment_id, lead_time_reason FROM core.deployments"))


def brought(home: TestHome, deployment_id: str) -> dict[str, float | None]:
    """The commits that a deployment brought and their lead times."""
    return dict(
        home.rows(
            "SELECT commit_sha, lead_time_seconds FROM core.deployment_commits WHERE deployment_id = ?", deployment_id
        )
    )
