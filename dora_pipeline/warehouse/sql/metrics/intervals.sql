-- How sure the figures of a group are: 95 % intervals, beside what is open. They are taken as for its figures.
CASE WHEN p.are_failures_known AND p.open_at IS NOT NULL THEN s.open_failures END AS open_failures,
s.oldest_open_seconds,
CASE WHEN p.are_deployments_known THEN metrics.wilson_low(s.failed_changes, s.deployments) END AS failed_change_rate_low,
CASE WHEN p.are_deployments_known THEN metrics.wilson_high(s.failed_changes, s.deployments) END AS failed_change_rate_high,
CASE WHEN p.are_deployments_known THEN metrics.wilson_low(s.rework_deployments, s.deployments) END AS rework_rate_low,
CASE WHEN p.are_deployments_known THEN metrics.wilson_high(s.rework_deployments, s.deployments) END AS rework_rate_high,
CASE WHEN p.are_rates_known AND s.possible_links = 0
     THEN metrics.wilson_low(s.linked_failures, s.deployments) END AS linked_failure_rate_low,
CASE WHEN p.are_rates_known AND s.possible_links = 0
     THEN metrics.wilson_high(s.linked_failures, s.deployments) END AS linked_failure_rate_high,
s.deployment_lead_time_p50_seconds_low, s.deployment_lead_time_p50_seconds_high,
CASE WHEN w.restores IS NULL THEN s.time_to_restore_p50_seconds_low END AS time_to_restore_p50_seconds_low,
CASE WHEN w.restores IS NULL THEN s.time_to_restore_p50_seconds_high END AS time_to_restore_p50_seconds_high,
s.recovery_p50_seconds_low, s.recovery_p50_seconds_high
