"""Listening: a free port, a taken one, an address that is not ours."""

from __future__ import annotations

import contextlib
import socket

import pytest

from mlcommons_tasks.errors import StartError
from mlcommons_tasks.server import Ready, address_of, listen


def test_port_0_picks_a_free_one_and_is_told() -> None:
    """Two listeners get two ports, and their addresses can be connected to."""
    with contextlib.closing(listen("127.0.0.1", 0)) as one, contextlib.closing(listen("127.0.0.1", 0)) as two:
        assert address_of(one) != address_of(two)
        assert address_of(one) == f"http://127.0.0.1:{one.getsockname()[1]}"
        socket.create_connection(one.getsockname()).close()


def test_a_taken_port_is_named() -> None:
    """The error says which port and what to do."""
    with contextlib.closing(listen("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port} of 127.0.0.1 is in use") as caught:
            listen("127.0.0.1", port)
    assert "--port 0" in caught.value.hint


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "::ffff:1.2.3.4"])
def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    """Another machine's address, and none at all, are refused."""
    with pytest.raises(StartError, match="cannot listen on"):
        listen(host, 0)


def test_an_address_of_version_6_stands_in_brackets() -> None:
    """A URL needs them."""
    try:
        listener = listen("::1", 0)
    except StartError:
        pytest.skip("this machine has no IPv6")
    with contextlib.closing(listener):
        assert address_of(listener).startswith("http://[::1]:")


def test_the_ready_line_has_the_keys_of_the_promise() -> None:
    """The line is for programs: its keys are fixed."""
    ready = Ready("http://a", "url", "http://b", "3.6.0", 7).as_json()
    assert ready == {"url": "http://a", "opensearch": {"kind": "url", "url": "http://b", "version": "3.6.0"}, "pid": 7}
