"""Several addresses of one OpenSearch: whose turn it is, and how long one that cannot be reached is left alone."""

from __future__ import annotations

import pytest

from mlcommons_tasks.store.endpoint import Endpoint
from mlcommons_tasks.store.hosts import LONGEST_PAUSE_S, Host, Hosts
from mlcommons_tasks.store.http1 import Address

GONE = ConnectionRefusedError("gone")


class Watch:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def host(watch: Watch) -> Host:
    return Host("http://one:1", Address("one", 1, None), 4, watch)


def test_pauses_grow_and_end_with_success() -> None:
    """1, 2, 4 and so on to 30 seconds; once it was reached the next pause is short again."""
    watch = Watch()
    one = host(watch)
    pauses = []
    for _ in range(8):
        assert one.try_again() is True
        one.missed(GONE, alone=False)
        pauses.append(one.away_until - watch.now)
        assert one.try_again() is False
        watch.now = one.away_until
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert max(pauses) == LONGEST_PAUSE_S
    one.reached()
    assert one.is_away is False
    one.missed(GONE, alone=False)
    assert one.away_until - watch.now == 1


def test_one_at_a_time_finds_out_whether_it_is_back() -> None:
    """After a pause the first who comes tries, the others wait for another pause, or for success."""
    watch = Watch()
    one = host(watch)
    one.missed(GONE, alone=False)
    watch.now += 1.5
    assert [one.try_again() for _ in range(3)] == [True, False, False]
    one.reached()
    assert [one.try_again() for _ in range(3)] == [True, True, True]


def test_the_only_address_is_never_left_alone() -> None:
    """There is nobody else to turn to."""
    one = host(Watch())
    one.missed(GONE, alone=True)
    assert one.is_away is False


def test_turns() -> None:
    """Each is first in its turn; away ones come last, the one whose pause ends first before the others."""
    hosts = Hosts(Endpoint.at("http://a:1,http://b:1,http://c:1"), 4)

    def order() -> str:
        return "".join(each.url[7] for each in hosts.in_turn())

    assert [order() for _ in range(4)] == ["abc", "bca", "cab", "abc"]
    by_name = {each.url[7]: each for each in hosts.in_turn()}
    by_name["a"].missed(GONE, alone=False)
    by_name["a"].missed(GONE, alone=False)
    by_name["b"].missed(GONE, alone=False)
    assert [order() for _ in range(3)] == ["cba", "cba", "cba"]


@pytest.mark.parametrize(
    ("url", "authority"),
    [("http://a", "a"), ("http://a:80", "a"), ("https://a:9200", "a:9200"), ("http://[::1]:9200", "[::1]:9200")],
)
def test_the_host_header(url: str, authority: str) -> None:
    """It names the port unless that is the usual one, and has an IPv6 address in brackets."""
    (only,) = Hosts(Endpoint.at(url), 4).in_turn()
    assert only.address.authority == authority
