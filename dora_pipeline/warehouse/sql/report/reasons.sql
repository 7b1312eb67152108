-- Deployments without a lead time by env and reason: those of the days from $from_day to $to_day, and all.
SELECT
    d.env, d.lead_time_reason,
    SUM(CASE WHEN d.day >= $from_day AND d.day <= $to_day THEN 1 ELSE 0 END) AS deployments_in_period,
    COUNT(*) AS deployments
FROM core.deployments AS d
WHERE d.is_selected AND d.duplicate_of IS NULL AND d.lead_time_reason IS NOT NULL
GROUP BY d.env, d.lead_time_reason
ORDER BY deployments_in_period DESC, deployments DESC, d.env, d.lead_time_reason
