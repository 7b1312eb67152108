"""The Deployment and Failure Event API: normalizers of their records, from our own intake or pulled from Datadog."""
