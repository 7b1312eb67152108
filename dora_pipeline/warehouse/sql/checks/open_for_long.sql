-- Failures of sources selected now that are open for more than $open_for_us.
SELECT
    f.failure_id, f.source, f.service, f.env, f.started_at,
    CAST(DATE_DIFF('microsecond', f.started_at, CAST($now AS TIMESTAMPTZ)) AS DOUBLE) / 86400000000 AS open_days,
    f.name, f.url
FROM core.failures AS f
WHERE f.is_selected AND f.finished_at IS NULL
    AND DATE_DIFF('microsecond', f.started_at, CAST($now AS TIMESTAMPTZ)) > $open_for_us
ORDER BY f.started_at, f.failure_id, f.service
