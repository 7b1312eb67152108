-- Sightings of a file of JSON. The version is still written as JSON: 1.10 and "1.10" are not the same. `is_odd`: perhaps no sighting but an answer of Datadog's.
SELECT
    timestamp AS times,
    hits,
    service,
    env,
    version,
    team,
    git.commit.sha AS nested_commit_sha,
    git."commit.sha" AS half_nested_commit_sha,
    "git.commit.sha" AS dotted_commit_sha,
    git_commit_sha AS commit_sha,
    git.repository_url AS nested_repository,
    "git.repository_url" AS dotted_repository,
    git_repository_url AS repository,
    timestamp IS NULL AND service IS NULL AND version IS NULL AS is_odd
FROM read_json(
    $path,
    format = $format,
    records = 'true',
    maximum_object_size = $most_bytes,
    columns = {
        timestamp: 'VARCHAR',
        hits: 'VARCHAR',
        service: 'VARCHAR',
        env: 'VARCHAR',
        version: 'JSON',
        team: 'VARCHAR',
        git: 'STRUCT("commit" STRUCT(sha VARCHAR), "commit.sha" VARCHAR, repository_url VARCHAR)',
        "git.commit.sha": 'VARCHAR',
        git_commit_sha: 'VARCHAR',
        "git.repository_url": 'VARCHAR',
        git_repository_url: 'VARCHAR'
    }
)
