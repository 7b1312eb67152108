-- What can be known of each of the days in run_days.
SELECT p.day, {metrics.known}
FROM (
    SELECT
        r.day, b.deployments_since, b.failures_since, b.links_since,
        CAST(r.day AS TIMESTAMP) AT TIME ZONE b.timezone AS starts_at,
        CAST(r.day + 1 AS TIMESTAMP) AT TIME ZONE b.timezone AS counted_until
    FROM run_days AS r
    CROSS JOIN (
        {metrics.beginnings}
    ) AS b
) AS p
