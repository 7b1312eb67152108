-- The figures of a group: every statement with figures has these columns from here. They are taken from its statistics in
-- one row, which the statement calls s, and from what can be known of the time, which it calls p. A count of what could not
-- be known yet is NULL, and so is what is made from it. Of an env a rate over failures is not known while failures of the
-- same members name none, and a time to restore is not while such were restored. A linked failure rate is not known while such
-- may be linked to its deployments, whenever they began.
CASE WHEN p.are_deployments_known THEN s.deployments END AS deployments,
CASE WHEN p.are_failures_known THEN s.failures END AS failures,
CASE WHEN p.are_rates_known AND w.failures IS NULL AND s.deployments > 0 THEN CAST(s.failures AS DOUBLE) / s.deployments END
    AS change_failure_rate,
CASE WHEN p.are_deployments_known THEN s.lead_time_commits END AS lead_time_commits,
s.lead_time_p50_seconds, s.lead_time_p90_seconds, s.lead_time_mean_seconds,
CASE WHEN p.are_deployments_known THEN s.lead_time_deployments END AS lead_time_deployments,
s.deployment_lead_time_p50_seconds,
CASE WHEN p.are_failures_known THEN s.restores END AS restores,
CASE WHEN w.restores IS NULL THEN s.time_to_restore_p50_seconds END AS time_to_restore_p50_seconds,
CASE WHEN w.restores IS NULL THEN s.time_to_restore_p90_seconds END AS time_to_restore_p90_seconds,
CASE WHEN w.restores IS NULL THEN s.time_to_restore_mean_seconds END AS time_to_restore_mean_seconds,
CASE WHEN p.are_deployments_known THEN s.failed_changes END AS failed_changes,
CASE WHEN p.are_deployments_known AND s.deployments > 0 THEN CAST(s.failed_changes AS DOUBLE) / s.deployments END AS failed_change_rate,
CASE WHEN p.are_deployments_known THEN s.recoveries END AS recoveries,
s.recovery_p50_seconds,
CASE WHEN p.are_deployments_known THEN s.rework_deployments END AS rework_deployments,
CASE WHEN p.are_deployments_known AND s.deployments > 0 THEN CAST(s.rework_deployments AS DOUBLE) / s.deployments END AS rework_rate,
CASE WHEN p.are_links_known THEN s.linked_failures END AS linked_failures,
CASE WHEN p.are_rates_known AND s.possible_links = 0 AND s.deployments > 0
     THEN CAST(s.linked_failures AS DOUBLE) / s.deployments END AS linked_failure_rate
