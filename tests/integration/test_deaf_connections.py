"""What Netty cannot read it answers with a 400, and passes over all that comes after it on that connection."""

from __future__ import annotations

from mlcommons_tasks.store.endpoint import Endpoint
from mlcommons_tasks.store.upstream import Upstream
from tests.raw_upstream import WATCHED, RawUpstream, ok


def test_a_connection_that_was_answered_a_400_is_not_used_again(upstream: RawUpstream) -> None:
    """It may have gone deaf: the next request, somebody else's, would wait there for its whole time-out."""
    good, bad = f"{WATCHED}/good", f"{WATCHED}/bad"
    upstream.answers |= {good: ok(), bad: b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"}
    opensearch = Upstream(Endpoint.at(upstream.url))
    try:
        for path in (good, good, bad, good):
            opensearch.request("GET", path)
    finally:
        opensearch.close()

    first, second, third, fourth = (request.connection for request in upstream.requests[-4:])
    assert first == second == third != fourth
