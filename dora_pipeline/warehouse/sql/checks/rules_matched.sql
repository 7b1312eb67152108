-- Whether the texts of the field $field of any deployment match $pattern: no row where one does.
SELECT $name AS name, $field AS field, $pattern AS matches
WHERE NOT EXISTS (
    SELECT 1
    FROM (
        SELECT d.version AS value FROM core.deployments AS d WHERE $field = 'version'
        UNION ALL
        SELECT c.subject AS value FROM core.deployment_commits AS c WHERE $field = 'commit_subject' AND NOT c.is_redelivery
        UNION ALL
        SELECT SUBSTR(t.tag, STRPOS(t.tag, ':') + 1) AS value
        FROM (SELECT UNNEST(d.custom_tags) AS tag FROM core.deployments AS d WHERE $field = 'branch_tag') AS t
        WHERE t.tag LIKE 'branch:%' OR t.tag LIKE 'git.branch:%'
        UNION ALL
        SELECT UNNEST(d.custom_tags) AS value FROM core.deployments AS d WHERE $field = 'custom_tag'
    ) AS v
    WHERE REGEXP_MATCHES(v.value, $pattern)
)
