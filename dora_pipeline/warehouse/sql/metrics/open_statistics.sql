-- The statistics of failures f, counted by the days on which they began and were restored, that are open at the end of the
-- period p.
'open_failure' AS measure, CAST(SUM(f.number) AS BIGINT) AS number,
CAST(MAX(EPOCH_US(p.open_at) - EPOCH_US(f.first_started_at)) AS DOUBLE) / 1000000 AS most_seconds
