-- What counts on the days from from_day to to_day, by period: the rows of metrics.measures, and the failures that are open at
-- the end of each of the periods or now, whichever is earlier, with how long they have been open.
SELECT
    m.measure, m.seconds, metrics.period(grain, m.day) AS period, m.service, m.env, m.team, m.repository_id, m.source, m.severity,
    m.tags, m.event_id
FROM metrics.measures AS m
WHERE m.day >= CAST(from_day AS DATE) AND m.day <= CAST(to_day AS DATE)
UNION ALL
SELECT
    'open_failure' AS measure, CAST(EPOCH_US(p.open_at) - EPOCH_US(f.started_at) AS DOUBLE) / 1000000 AS seconds, p.period,
    f.service, f.env, f.team, f.repository_id, f.source, f.severity, f.custom_tags AS tags, f.failure_id AS event_id
FROM core.failures AS f
INNER JOIN periods AS p ON f.day <= p.last_day AND COALESCE(f.restored_day, DATE '9999-12-31') > p.last_day
WHERE f.is_selected AND p.open_at IS NOT NULL AND (p.source IS NULL OR p.source = f.source)
    AND f.day <= CAST(to_day AS DATE) AND COALESCE(f.restored_day, DATE '9999-12-31') > CAST(from_day AS DATE)
