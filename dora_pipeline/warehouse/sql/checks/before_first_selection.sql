-- Events that count before their source was first selected, or whose source never was; days that wait are left out.
SELECT e.event_type, e.source, e.event_id, e.occurred_at, s.first_selected_at
FROM core.events AS e
LEFT JOIN (
    {core.first_selections}
) AS s ON e.source = s.source
LEFT JOIN landing.stale_days AS w
    ON e.day = w.day AND w.target = CASE WHEN e.event_type = 'deployment' THEN 'core.deployments' ELSE 'core.failures' END
WHERE w.day IS NULL
    AND (s.first_selected_at IS NULL OR e.occurred_at < s.first_selected_at)
ORDER BY e.occurred_at, e.event_id
