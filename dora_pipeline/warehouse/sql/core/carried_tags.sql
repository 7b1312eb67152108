-- The tags that the events of a service carry by the catalog, each once: those of its definition, then its languages.
SELECT c.service, c.team, c.repository_id, [t FOR t, place IN c.tags IF LIST_POSITION(c.tags, t) = place] AS tags
FROM (
    SELECT
        x.service, x.team, x.repository_id, LIST_CONCAT(x.tags, ['language:' || l FOR l IN x.languages]) AS tags
    FROM core.services AS x
) AS c
