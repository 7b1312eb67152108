-- The deployments in chains of which a text of the field $field matches $pattern, for the rule with the place $rule. A
-- version is looked at only where what it names is live for the first time.
WITH deployments AS (
    SELECT j.deployment_id, j.service, j.version, j.custom_tags
    FROM landing.judged_deployments AS j
    INNER JOIN waiting_services AS w ON j.service = w.service AND j.day >= w.from_day
    WHERE $field <> 'commit_subject' AND j.history <> 'rejected' AND j.duplicate_of IS NULL
),
tagged AS (
    SELECT d.deployment_id, UNNEST(LIST_CONCAT(d.custom_tags, s.tags)) AS tag
    FROM deployments AS d
    LEFT JOIN (
        {core.carried_tags}
    ) AS s ON d.service = s.service
    WHERE $field IN ('branch_tag', 'custom_tag')
),
texts AS (
    SELECT d.deployment_id, d.version AS value FROM deployments AS d WHERE $field = 'version'
    UNION ALL
    SELECT m.deployment_id, m.subject AS value
    FROM brought_messages AS m
    INNER JOIN chains AS c ON m.deployment_id = c.deployment_id
    WHERE $field = 'commit_subject'
    UNION ALL
    SELECT t.deployment_id, SUBSTR(t.tag, STRPOS(t.tag, ':') + 1) AS value
    FROM tagged AS t
    WHERE $field = 'branch_tag' AND (t.tag LIKE 'branch:%' OR t.tag LIKE 'git.branch:%')
    UNION ALL
    SELECT t.deployment_id, t.tag AS value FROM tagged AS t WHERE $field = 'custom_tag'
)
SELECT DISTINCT t.deployment_id, CAST($rule AS BIGINT) AS rule
FROM texts AS t
WHERE REGEXP_MATCHES(t.value, $pattern)
    AND ($field <> 'version' OR NOT EXISTS (
        SELECT 1
        FROM chains AS c
        INNER JOIN (
            SELECT e.chain, e.content, e.place FROM chains AS e
            UNION ALL
            SELECT b.chain, b.content, 0 AS place FROM live_before AS b
        ) AS e ON c.chain = e.chain AND c.content = e.content AND e.place < c.place
        WHERE c.deployment_id = t.deployment_id
    ))
