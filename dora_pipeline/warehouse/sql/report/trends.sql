-- The figures of each environment by period. The periods begin with the one that $from_day is in.
SELECT
    s.env, s.period, s.deployments, s.failures, s.change_failure_rate, s.lead_time_commits, s.lead_time_p50_seconds,
    s.lead_time_p90_seconds, s.lead_time_mean_seconds, s.deployment_lead_time_p50_seconds, s.restores,
    s.time_to_restore_p50_seconds, s.time_to_restore_p90_seconds, s.time_to_restore_mean_seconds
FROM metrics.summary_by('env', $grain, $from_day, $to_day) AS s
ORDER BY s.env, s.period
