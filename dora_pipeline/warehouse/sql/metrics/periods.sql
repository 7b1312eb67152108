-- The periods of a grain that the days from from_day to to_day are in, and what can be known of each by the beginnings. One is
-- whole if all its days were asked for and no event type begins in it, and provisional while failures may still be linked.
SELECT
    p.source, p.period, p.last_day,
    p.period >= CAST(from_day AS DATE) AND p.next_period <= CAST(to_day AS DATE) + 1
    AND NOT COALESCE(p.deployments_since > p.starts_at AND p.deployments_since < p.ends_at, FALSE)
    AND NOT COALESCE(p.failures_since > p.starts_at AND p.failures_since < p.ends_at, FALSE) AS is_whole,
    EPOCH_US(NOW()) - EPOCH_US(p.ends_at) < p.link_window_us AS is_provisional,
    CASE WHEN p.starts_at <= NOW() THEN LEAST(p.counted_until, NOW()) END AS open_at,
    {metrics.known}
FROM (
    SELECT
        g.period, g.next_period, g.end_day - 1 AS last_day, b.source,
        b.deployments_since, b.failures_since, b.links_since, b.link_window_us,
        metrics.start_of(g.period, b.day_offsets) AS starts_at,
        metrics.start_of(g.next_period, b.day_offsets) AS ends_at,
        metrics.start_of(g.end_day, b.day_offsets) AS counted_until
    FROM (
        SELECT y.period, y.next_period, LEAST(y.next_period, CAST(to_day AS DATE) + 1) AS end_day
        FROM (
            SELECT DISTINCT
                metrics.period(grain, CAST(x.moment AS DATE)) AS period,
                -- A day of the next period, whose first day is wanted.
                metrics.period(
                    grain,
                    metrics.period(grain, CAST(x.moment AS DATE))
                    + CASE grain WHEN 'day' THEN 1 WHEN 'week' THEN 7 WHEN 'month' THEN 31 WHEN 'quarter' THEN 92 ELSE 366 END
                ) AS next_period
            FROM GENERATE_SERIES(CAST(CAST(from_day AS DATE) AS TIMESTAMP), CAST(CAST(to_day AS DATE) AS TIMESTAMP), INTERVAL '1 day') AS x(moment)
        ) AS y
    ) AS g
    CROSS JOIN beginnings AS b
) AS p
