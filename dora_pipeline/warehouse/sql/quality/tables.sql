-- How new each table is, and the days on which it does not show yet what was read.
SELECT f.table_name, f.rows, f.newest_event_at, f.newest_day, f.stale_days, f.last_run_at, f.code_version
FROM metrics.freshness AS f
ORDER BY f.table_name
