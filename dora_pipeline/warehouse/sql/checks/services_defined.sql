-- The services that the catalog has a definition of.
SELECT s.service
FROM core.services AS s
ORDER BY s.service
