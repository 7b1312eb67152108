-- What the messages say of the commits that deployments of waiting services brought first, from the days on that a revert
-- of a later day may go back to: those of original commits, and those of the squash commits that they landed as.
WITH brought AS (
{landing.brought_commits}
        AND EXISTS (
            SELECT 1 FROM waiting_services AS w WHERE r.service = w.service AND r.day >= w.reverts_from_day
        )
)
SELECT b.deployment_id, b.commit_sha AS sha, b.subject, b.reverts FROM brought AS b WHERE NOT b.is_redelivery
UNION ALL
SELECT b.deployment_id, b.landed_as_sha AS sha, b.landed_subject AS subject, b.landed_reverts AS reverts
FROM brought AS b
WHERE NOT b.is_redelivery AND b.landed_as_sha IS NOT NULL
