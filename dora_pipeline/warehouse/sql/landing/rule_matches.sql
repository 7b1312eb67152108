-- The deployments in chains of which a text of the field $field matches $pattern, for the rule with the place $rule. A
-- version is looked at only where what it names is live for the first time.
SELECT DISTINCT v.deployment_id, CAST($rule AS BIGINT) AS rule
FROM (
    SELECT c.deployment_id, c.version AS value
    FROM chains AS c
    WHERE $field = 'version' AND c.version IS NOT NULL
    UNION ALL
    SELECT m.deployment_id, m.subject AS value
    FROM brought_messages AS m
    INNER JOIN chains AS c ON m.deployment_id = c.deployment_id
    WHERE $field = 'commit_subject'
    UNION ALL
    SELECT t.deployment_id, SUBSTR(t.tag, STRPOS(t.tag, ':') + 1) AS value
    FROM (SELECT c.deployment_id, UNNEST(c.custom_tags) AS tag FROM chains AS c WHERE $field = 'branch_tag') AS t
    WHERE t.tag LIKE 'branch:%' OR t.tag LIKE 'git.branch:%'
    UNION ALL
    SELECT c.deployment_id, UNNEST(c.custom_tags) AS value FROM chains AS c WHERE $field = 'custom_tag'
) AS v
WHERE REGEXP_MATCHES(v.value, $pattern)
    AND ($field <> 'version' OR NOT EXISTS (
        SELECT 1
        FROM chains AS c
        INNER JOIN (
            SELECT e.chain, e.content, e.place FROM chains AS e
            UNION ALL
            SELECT b.chain, b.content, 0 AS place FROM live_before AS b
        ) AS e ON c.chain = e.chain AND c.content = e.content AND e.place < c.place
        WHERE c.deployment_id = v.deployment_id
    ))
