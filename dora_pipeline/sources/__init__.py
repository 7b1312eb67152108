"""The sources: what each of them tells, fetched and made into deployments, failures and rejects."""
