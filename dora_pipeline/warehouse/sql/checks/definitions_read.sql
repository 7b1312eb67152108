-- Files with service definitions that lie where none are read from.
SELECT f.name, f.reason
FROM landing.left_out_files AS f
WHERE f.source = 'services'
ORDER BY f.name
