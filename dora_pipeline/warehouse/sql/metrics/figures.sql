-- The figures of a group: every statement with figures has these columns from here. They are taken from its statistics, a
-- row for each measure, which the statement calls s. A row without a measure counts for nothing.
COALESCE(MAX(CASE WHEN s.measure = 'deployment' THEN s.number END), 0) AS deployments,
COALESCE(MAX(CASE WHEN s.measure = 'failure' THEN s.number END), 0) AS failures,
CASE WHEN MAX(CASE WHEN s.measure = 'deployment' THEN s.number END) > 0 THEN
    CAST(COALESCE(MAX(CASE WHEN s.measure = 'failure' THEN s.number END), 0) AS DOUBLE)
    / MAX(CASE WHEN s.measure = 'deployment' THEN s.number END)
END AS change_failure_rate,
COALESCE(MAX(CASE WHEN s.measure = 'commit' THEN s.number END), 0) AS lead_time_commits,
MAX(CASE WHEN s.measure = 'commit' THEN s.p50_and_p90_seconds[1] END) AS lead_time_p50_seconds,
MAX(CASE WHEN s.measure = 'commit' THEN s.p50_and_p90_seconds[2] END) AS lead_time_p90_seconds,
MAX(CASE WHEN s.measure = 'commit' THEN s.mean_seconds END) AS lead_time_mean_seconds,
MAX(CASE WHEN s.measure = 'deployment' THEN s.p50_and_p90_seconds[1] END) AS deployment_lead_time_p50_seconds,
COALESCE(MAX(CASE WHEN s.measure = 'restore' THEN s.number END), 0) AS restores,
MAX(CASE WHEN s.measure = 'restore' THEN s.p50_and_p90_seconds[1] END) AS time_to_restore_p50_seconds,
MAX(CASE WHEN s.measure = 'restore' THEN s.p50_and_p90_seconds[2] END) AS time_to_restore_p90_seconds,
MAX(CASE WHEN s.measure = 'restore' THEN s.mean_seconds END) AS time_to_restore_mean_seconds
