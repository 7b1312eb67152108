-- What can be known of each of the days in run_days.
SELECT p.day, {metrics.known}
FROM (
    SELECT
        r.day, b.deployments_since, b.failures_since, b.links_since,
        metrics.start_of(r.day, b.day_offsets) AS starts_at,
        metrics.start_of(r.day + 1, b.day_offsets) AS counted_until
    FROM run_days AS r
    CROSS JOIN (
        {metrics.beginnings}
    ) AS b
) AS p
