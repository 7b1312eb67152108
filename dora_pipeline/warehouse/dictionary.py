"""The data dictionary: every table and column of the warehouse as Markdown, made from `tables.py`."""

from dora_pipeline.tables import TABLES, VIEWS
from dora_pipeline.warehouse.schema import duckdb_type, table_comment

_HEAD = """\
# Tables of the warehouse

Made by `make docs` from `dora_pipeline/tables.py`; the same texts are the COMMENTs in the database.
Times are `TIMESTAMPTZ`, durations `DOUBLE` seconds, days `DATE` of the configured time zone.

`core.events`, `metrics.measures` and `metrics.deployment_outcomes` are views. Every figure is a grouping of
`metrics.measures`, so that it can be traced to its events, and grouped in other ways.

There are three table macros as well. They compute from the events, so percentiles of long periods are exact:

- `metrics.summary(grain, from_day, to_day)`: the columns of `metrics.daily`, with `period`, `is_whole` and
  `is_provisional` in place of `day`. Every service and env has a row in every period. Behind them stand
  `open_failures` and `oldest_open_seconds` at the end of the period, or now where that is earlier, and the ends of
  95 % intervals, `_low` and `_high`: of each share Wilson's, of each median over deployments, restores and recoveries
  that of the order statistic, NULL below six values.
- `metrics.summary_by(dimension, grain, from_day, to_day)`: the same over `service`, `team`, `repository`, `source`,
  `severity`, `all`, or `tag:<key>`, always per env: `env` and `member` stand in place of `service`, `env` and `team`.
  A failure counts once for each member. An event with several values of a tag counts for each; without one the member
  is NULL. A severity has no figures of deployments, and a source only those of its own events; neither has rates over
  both.
- `metrics.explain(from_day, to_day, service, env)`: the events behind each figure of `metrics.daily` (`figure`,
  `is_counted`), and those that are left out, with the `reason`: `duplicate`, `redelivery`, `not_selected`,
  `before_first_selection`, `rejected: …` (with `, no_env` behind where `env` is asked and it names none),
  `not_restored`, `no_remediation`, `remediation_before` (a mark names a remediation that did not end later), `no_env`
  (a failure that names none, where `env` is asked), `failures_not_known` (its day ended before failures were), why a
  deployment has no lead time, why a failure is linked to none.
  Where `env` is NULL, of all.

```sql
SELECT * FROM metrics.summary('month', DATE '2026-01-01', DATE '2026-06-30');
SELECT * FROM metrics.summary_by('team', 'quarter', DATE '2025-01-01', DATE '2026-12-31');
SELECT * FROM metrics.explain(DATE '2026-01-01', DATE '2026-01-31', 'shop', NULL);
```

`grain` is `day`, `week`, `month`, `quarter` or `year`. Both days are included. Weeks start on Monday. A period is not
whole where its days were not all asked for or an event type begins in it, and provisional until the link window after
its end is over. A count is NULL where its event type could not be known yet, and so is a rate over both types where one
began after the period's start.

A failure that names no env could be of any. Where one started in a period that would count in a row if it named the
row's env (for a service one of that service, for a team one of that team, for `all` any), `change_failure_rate` is NULL
in that row; where one was restored, so are the times to restore. Where one that started at whatever time may be of a
deployment of the row (`possible_ids` of `core.failure_links`), and no other failure is known to be,
`linked_failure_rate` and its interval are NULL. Counts of failures and restores are of those that name the env. `dora
check` names the services and the setting that gives them an env.
"""


def dictionary() -> str:
    """The whole document."""
    parts = [_HEAD, "\n| table | rows |\n|---|---|\n"]
    # `landing` is for nobody's queries.
    asked = [table for table in (*VIEWS, *TABLES) if not table.table_name.startswith("landing.")]
    parts.extend(f"| `{table.table_name}` | {table_comment(table)} |\n" for table in asked)
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
