-- Files that lie where a source that was selected is read from, and are not read.
SELECT f.name, f.reason, f.source
FROM landing.left_out_files AS f
WHERE f.name NOT LIKE '%/' AND f.source <> 'services'
ORDER BY f.name
