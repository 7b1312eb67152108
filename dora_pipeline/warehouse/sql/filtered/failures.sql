-- What open failures are counted from, of those that pass a filter: of any day, for one can be open for years.
SELECT
    m.failure_id, m.source, m.service, m.env, m.team, m.severity, m.repository_id, m.started_at, m.finished_at, m.restored_day,
    CAST(NULL AS VARCHAR[]) AS custom_tags,
    m.is_selected, m.day
FROM (SELECT f.*, f.custom_tags AS tags FROM {source}.core.failures AS f WHERE f.is_selected AND f.day <= {last_day}) AS m
WHERE {passes}
