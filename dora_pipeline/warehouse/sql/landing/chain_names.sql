-- The chains in which something is to be judged: the deployments of a history by service and env, of the services in
-- waiting_services from their from_day on.
SELECT x.history, x.service, x.env, ROW_NUMBER() OVER (ORDER BY x.history, x.service, x.env) AS chain
FROM (
    SELECT DISTINCT j.history, j.service, j.env
    FROM landing.judged_deployments AS j
    INNER JOIN waiting_services AS w ON j.service = w.service AND j.day >= w.from_day
    WHERE j.history <> 'rejected' AND j.duplicate_of IS NULL
) AS x
