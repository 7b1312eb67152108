-- What counts on the days from from_day to to_day, by period: the rows of metrics.measures.
SELECT
    m.measure, m.seconds, metrics.period(grain, m.day) AS period, m.service, m.env, m.team, m.repository_id, m.source, m.severity,
    m.tags, m.event_id
FROM metrics.measures AS m
WHERE m.day >= CAST(from_day AS DATE) AND m.day <= CAST(to_day AS DATE)
