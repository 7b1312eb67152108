-- Deployments without a lead time by env and reason: those of the days from $from_day to $to_day, and all.
SELECT
    m.env, m.lead_time_reason,
    SUM(CASE WHEN m.day >= $from_day AND m.day <= $to_day THEN 1 ELSE 0 END) AS deployments_in_period,
    COUNT(*) AS deployments
FROM (
    {report.selected_deployments}
) AS m
WHERE m.duplicate_of IS NULL AND m.lead_time_reason IS NOT NULL AND {passes}
GROUP BY m.env, m.lead_time_reason
ORDER BY deployments_in_period DESC, deployments DESC, m.env, m.lead_time_reason
