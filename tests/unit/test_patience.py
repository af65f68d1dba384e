"""How long OpenSearch may take for which request."""

from __future__ import annotations

import pytest

from mlcommons_tasks.rest.patience import patience

USUAL = 10.0


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/", USUAL),
        ("POST", "/_search", USUAL),
        ("POST", "/_bulk?refresh=wait_for", USUAL),
        ("POST", "/_reindex", None),
        ("POST", "/_reindex?wait_for_completion=true", None),
        ("POST", "/_reindex?wait_for_completion", None),
        ("POST", "/_reindex?wait%5Ffor_completion=%66alse", USUAL),
        ("POST", "/_reindex?wait_for_completion=true&wait_for_completion=false", USUAL),
        ("GET", "/_reindex", USUAL),
        ("POST", "/a,b/_update_by_query?conflicts=proceed", None),
        ("POST", "/a/_delete_by_query/", None),
        ("POST", "/_forcemerge", None),
        ("POST", "/a*/_forcemerge?max_num_segments=1", None),
        ("POST", "/a/_forcemerge?wait_for_completion=false", USUAL),
        ("PUT", "/a/_shrink/b", None),
        ("POST", "/a/_split/b", None),
        ("PUT", "/a/_clone/b", None),
        ("PUT", "/_snapshot/r/s", USUAL),
        ("PUT", "/_snapshot/r/s?wait_for_completion=true", None),
        ("DELETE", "/_snapshot/r/s", None),
        ("DELETE", "/_snapshot/r", USUAL),
        ("POST", "/_snapshot/r/_cleanup", None),
        ("GET", "/_tasks/n:1?wait_for_completion=true", None),
        ("GET", "/_tasks/n:1?wait_for_completion=false&timeout=5s", USUAL + 5),
        ("GET", "/_cluster/health?timeout=1m", USUAL + 60),
        ("PUT", "/a?cluster_manager_timeout=30s&timeout=500ms", USUAL + 30.5),
        ("PUT", "/a?master_timeout=-1", None),
        ("GET", "/a?timeout=soon", USUAL),
        ("GET", "/a?timeout=%zz", USUAL),
        ("GET", "/a?timeout=", USUAL),
        ("GET", "/a?timeout", USUAL),
        ("GET", "/a?timeout=99999d", 1_000_000.0),
    ],
)
def test_a_request_has_the_time_that_it_asks_for(method: str, target: str, expected: float | None) -> None:
    """The usual time, more of it by its own time-outs, or none where it waits for completion."""
    assert patience(method, target, USUAL) == expected
