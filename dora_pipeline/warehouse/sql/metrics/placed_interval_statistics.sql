-- What intervals take beside metrics.placed_statistics, in one row: metrics.interval_statistics of a group, and what is open.
MAX(CASE WHEN x.measure = 'deployment' THEN x.p50_low_seconds END) AS deployment_lead_time_p50_seconds_low,
MAX(CASE WHEN x.measure = 'deployment' THEN x.p50_high_seconds END) AS deployment_lead_time_p50_seconds_high,
MAX(CASE WHEN x.measure = 'restore' THEN x.p50_low_seconds END) AS time_to_restore_p50_seconds_low,
MAX(CASE WHEN x.measure = 'restore' THEN x.p50_high_seconds END) AS time_to_restore_p50_seconds_high,
MAX(CASE WHEN x.measure = 'recovery' THEN x.p50_low_seconds END) AS recovery_p50_seconds_low,
MAX(CASE WHEN x.measure = 'recovery' THEN x.p50_high_seconds END) AS recovery_p50_seconds_high,
COALESCE(MAX(CASE WHEN x.measure = 'open_failure' THEN x.number END), 0) AS open_failures,
MAX(CASE WHEN x.measure = 'open_failure' THEN x.most_seconds END) AS oldest_open_seconds
