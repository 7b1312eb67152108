-- The figure of a row, which the statement calls s, that the rows of a ranking are sorted by, as $sort says.
CASE $sort
    WHEN 'deployments' THEN s.deployments
    WHEN 'lead_time' THEN s.lead_time_p50_seconds
    WHEN 'restore' THEN s.time_to_restore_p50_seconds
    WHEN 'failed_changes' THEN s.failed_change_rate
    WHEN 'recovery' THEN s.recovery_p50_seconds
    WHEN 'rework' THEN s.rework_rate
    WHEN 'open' THEN s.open_failures
    ELSE s.change_failure_rate
END
