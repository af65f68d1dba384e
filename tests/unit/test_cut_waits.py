"""A wait for OpenSearch that a cancellation cuts short."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme

from mlcommons_tasks.cancellation import Cancellation
from mlcommons_tasks.errors import StoreUnavailable
from mlcommons_tasks.store.upstream import Endpoint, Upstream
from tests.unit.doubles import OBEYED_S, PATIENCE_S
from tests.upstreams import Request, answering


@pytest.fixture(params=["http", "https"])
def silent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Endpoint, threading.Semaphore]]:
    """A server that takes requests and does not answer."""
    asked, go = threading.Semaphore(0), threading.Event()

    def wait(_: Request) -> None:
        asked.release()
        go.wait(PATIENCE_S)

    context, ca_file = None, None
    if request.param == "https":
        authority = trustme.CA()
        context, ca_file = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tmp_path / "ca.pem"
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(str(ca_file))
    with answering(wait, tls=context) as url:
        yield Endpoint.at(url, ca_file=ca_file), asked
        go.set()


def in_background(action: Callable[[], Any]) -> Future[Any]:
    threads = ThreadPoolExecutor(1)
    try:
        return threads.submit(action)
    finally:
        threads.shutdown(wait=False)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_wait_for_an_answer_is_cut(silent: tuple[Endpoint, threading.Semaphore], method: str) -> None:
    """Over http and https, and a read is not sent once more for good."""
    endpoint, asked = silent
    upstream, cancellation = Upstream(endpoint), Cancellation()
    answer = in_background(lambda: upstream.request(method, "/_search", (), b"{}", cancellation))
    assert asked.acquire(timeout=PATIENCE_S)
    began = time.monotonic()
    cancellation.cancel()
    with pytest.raises(StoreUnavailable):
        answer.result(PATIENCE_S)
    assert time.monotonic() - began < OBEYED_S
    upstream.close()


def test_a_request_of_a_cancelled_work_is_not_waited_for(silent: tuple[Endpoint, threading.Semaphore]) -> None:
    """It was cancelled on the way."""
    endpoint, _ = silent
    upstream, cancellation = Upstream(endpoint), Cancellation()
    cancellation.cancel()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        upstream.request("POST", "/_search", (), b"{}", cancellation)
    assert time.monotonic() - began < OBEYED_S
    upstream.close()


def test_a_cancellation_after_the_answer_cuts_nobody_elses_wait() -> None:
    """Connections are used again."""
    with answering(lambda request: request.reply(200, b"{}")) as url:
        upstream, cancellation = Upstream(Endpoint.at(url)), Cancellation()
        assert upstream.request("POST", "/", (), b"", cancellation).status == 200
        cancellation.cancel()
        assert upstream.request("POST", "/", (), b"").payload == b"{}"
        upstream.close()


class Late(Cancellation):
    """A wish that comes at the end of every block."""

    @contextlib.contextmanager
    def stopped_by(self, action: Callable[[], None]) -> Iterator[None]:
        """Cancel when the work of the block is done."""
        with super().stopped_by(action):
            yield
            self.cancel()


def test_a_cut_of_an_answer_that_ends_its_connection_breaks_no_cancellation() -> None:
    """Such a connection has forgotten its socket by then; what else the cancellation stops is stopped too."""
    with answering(lambda request: request.reply(200, b"{}", Connection="close")) as url:
        upstream, cancellation, others = Upstream(Endpoint.at(url)), Late(), threading.Event()
        with contextlib.suppress(StoreUnavailable):
            upstream.request("POST", "/", (), b"", cancellation)
        cancellation.on_cancel(others.set)
        assert others.is_set()
        upstream.close()
