"""The data dictionary: every table and column of the warehouse as Markdown, made from `tables.py`."""

from dora_pipeline.tables import TABLES, VIEWS
from dora_pipeline.warehouse.schema import duckdb_type, table_comment

_HEAD = """\
# Tables of the warehouse

Made by `make docs` from `dora_pipeline/tables.py`; the same texts are the COMMENTs in the database.
Times are `TIMESTAMPTZ`, durations `DOUBLE` seconds, days `DATE` of the configured time zone.

`core.events` and `metrics.measures` are views. Every figure is a grouping of `metrics.measures`, so that it can be
traced to its events, and grouped in other ways.

There are three table macros as well. They compute from the events, so percentiles of long periods are exact:

- `metrics.summary(grain, from_day, to_day)`: the columns of `metrics.daily`, with `period` in place of `day`.
- `metrics.summary_by(dimension, grain, from_day, to_day)`: the same over `env`, `team` or `all`.
- `metrics.explain(from_day, to_day, service, env)`: the events behind each figure of `metrics.daily` (`figure`,
  `is_counted`), and those that are left out, with the `reason`: `duplicate`, `redelivery`, `not_selected`,
  `before_first_selection`, `rejected: …`, `not_restored`, `no_remediation`, why a deployment has no lead time, why a
  failure is linked to none. Where `env` is NULL, of every env.

`grain` is `day`, `week`, `month`, `quarter` or `year`. Both days are included. Weeks start on Monday.
"""


def dictionary() -> str:
    """The whole document."""
    parts = [_HEAD]
    for table in (*VIEWS, *TABLES):
        key = ", ".join(table.key())
        parts.append(f"\n## {table.table_name}\n\n{table_comment(table)}\n")
        parts.append(f"\nKey: {key}.\n" if key else "")
        parts.append("\n| column | type | may be NULL | meaning |\n|---|---|---|---|\n")
        parts.extend(
            f"| {name} | {duckdb_type(column)} | {'yes' if column.nullable else ''} | {column.description} |\n"
            for name, column in table.columns().items()
        )
    return "".join(parts)


if __name__ == "__main__":
    print(dictionary(), end="")
