"""The Dagster door: assets, jobs and the resource that they load with. Each calls one function of the rooms below."""
