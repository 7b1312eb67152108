-- Services of which more than $share of the commits were authored after they went live.
SELECT
    c.service, c.env, COUNT(*) AS commits,
    COUNT(CASE WHEN c.lead_time_seconds < 0 THEN 1 END) AS negative,
    CAST(COUNT(CASE WHEN c.lead_time_seconds < 0 THEN 1 END) AS DOUBLE) / COUNT(*) AS share,
    MIN(c.lead_time_seconds) AS least_seconds,
    MIN_BY(c.commit_sha, ROW(c.lead_time_seconds, c.commit_sha)) FILTER (WHERE c.lead_time_seconds < 0) AS commit_sha
FROM core.deployment_commits AS c
WHERE c.lead_time_seconds IS NOT NULL AND NOT c.is_redelivery
GROUP BY c.service, c.env
HAVING COUNT(CASE WHEN c.lead_time_seconds < 0 THEN 1 END) > COUNT(*) * $share
ORDER BY share DESC, c.service, c.env
