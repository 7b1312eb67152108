-- Services whose source patterns match no file of the newest branches of their repository.
SELECT p.service, p.repository_id, ARRAY_TO_STRING(p.patterns, ' ') AS patterns
FROM landing.source_patterns AS p
WHERE NOT p.is_matched
ORDER BY p.service
