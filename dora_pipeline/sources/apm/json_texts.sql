-- Sightings of lines of JSON, in their order. Texts are still written as JSON, since "1" and 1, 1.10 and "1.10" are not the same. `is_odd`: perhaps no sighting but an answer of Datadog's.
SELECT
    timestamp AS times,
    hits,
    service,
    env,
    version,
    team,
    "git.commit.sha" AS commit_sha_1,
    "git.commit".sha AS commit_sha_2,
    git."commit.sha" AS commit_sha_3,
    git.commit.sha AS commit_sha_4,
    git_commit_sha AS commit_sha_5,
    "git.repository_url" AS repository_1,
    git.repository_url AS repository_2,
    git_repository_url AS repository_3,
    timestamp IS NULL AND service IS NULL AND version IS NULL AS is_odd
FROM read_json(
    $path,
    format = 'newline_delimited',
    records = 'true',
    maximum_object_size = $most_bytes,
    columns = {
        timestamp: 'VARCHAR',
        hits: 'VARCHAR',
        service: 'JSON',
        env: 'JSON',
        version: 'JSON',
        team: 'JSON',
        git: 'STRUCT("commit" STRUCT(sha JSON), "commit.sha" JSON, repository_url JSON)',
        "git.commit": 'STRUCT(sha JSON)',
        "git.commit.sha": 'JSON',
        git_commit_sha: 'JSON',
        "git.repository_url": 'JSON',
        git_repository_url: 'JSON'
    }
)
