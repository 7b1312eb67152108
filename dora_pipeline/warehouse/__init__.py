"""The DuckDB warehouse: one writer, whole days, published by atomic rename. SQL lives in `sql/`."""
