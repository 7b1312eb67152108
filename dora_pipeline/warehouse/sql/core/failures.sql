-- core.failures for the days in run_days: the judged failures, with what the catalog knows of their services. The
-- repository that an event names goes before the catalog's only where it is configured; its own tags come first.
SELECT
    j.failure_id, j.source, j.service, j.env,
    COALESCE(j.team, s.team) AS team,
    j.name, j.severity, j.version,
    CASE WHEN c.repository_id IS NOT NULL OR s.repository_id IS NULL THEN j.repository_id ELSE s.repository_id END AS repository_id,
    j.commit_sha, j.url, j.started_at, j.finished_at, j.time_to_restore_seconds,
    LIST_CONCAT(
        [t FOR t, place IN j.custom_tags IF LIST_POSITION(j.custom_tags, t) = place],
        [t FOR t IN s.tags IF NOT LIST_CONTAINS(j.custom_tags, t)]
    ) AS custom_tags,
    j.is_selected, j.restored_day, j.day
FROM landing.judged_failures AS j
LEFT JOIN (
    {core.carried_tags}
) AS s ON j.service = s.service
LEFT JOIN landing.repositories AS c ON j.repository_id = c.repository_id
WHERE NOT j.is_rejected AND j.day IN (SELECT r.day FROM run_days AS r)
