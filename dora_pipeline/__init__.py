"""DORA metrics from deployments and failures: a batch ETL into a DuckDB warehouse."""
