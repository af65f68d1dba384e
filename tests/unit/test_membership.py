"""Which processes share a cluster, over a store in memory: nobody's training is overlooked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from mlcommons_tasks.clock import SystemClock
from mlcommons_tasks.errors import StoreUnavailable
from mlcommons_tasks.execution.membership import FORGOTTEN_MS, KNOWN_S, Membership
from tests.services import wait_until


class Names:
    """The owners' documents of one cluster."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.looks = 0
        self.away = False

    def write(self, whole: dict[str, Any], changed: dict[str, Any], gone: Any) -> None:
        if self.away:
            raise StoreUnavailable("away")
        assert not changed
        self.documents |= whole
        for name in gone:
            self.documents.pop(name, None)

    def owners(self, before: int | None = None) -> set[str]:
        if self.away:
            raise StoreUnavailable("away")
        self.looks += 1
        return {name for name, document in self.documents.items() if before is None or document["lease_until"] < before}


class Cluster:
    """Names, and the members that share them."""

    def __init__(self) -> None:
        self.names = Names()
        self.members: list[Membership] = []

    def member(self, name: str) -> Membership:
        store: Any = self.names
        self.members.append(Membership(name, store, SystemClock()))
        return self.members[-1]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    found = Cluster()
    yield found
    found.names.away = False
    for member in found.members:
        member.close()


def test_a_process_that_is_alone_knows_it_once_its_name_is_there(cluster: Cluster) -> None:
    """Before, it asks; and its trainings wait for nobody."""
    one = cluster.member("one")
    one.saw(set(), time.monotonic())
    assert not one.is_alone(), "somebody who came at the same moment might not know of it"

    began = time.monotonic()
    one.await_known()
    assert time.monotonic() - began < KNOWN_S / 2
    assert one.is_alone()


def test_who_comes_later_waits_until_the_others_cannot_rely_on_what_they_saw(cluster: Cluster) -> None:
    """When its first training is answered, nobody believes any more to be alone."""
    one, two = cluster.member("one"), cluster.member("two")
    one.await_known()
    one.saw({"one"}, time.monotonic())
    began = time.monotonic()
    two.await_known()

    assert time.monotonic() - began >= KNOWN_S - 0.1
    assert not one.is_alone()
    assert not two.is_alone()


def test_two_that_come_at_once_see_each_other(cluster: Cluster) -> None:
    """Each writes its name before it looks, so one sees the other; a look before the name counts for nothing."""
    one, two = cluster.member("one"), cluster.member("two")
    seen_early = time.monotonic()
    two.join()
    one.saw({"one"}, seen_early)
    one.join()
    assert not one.is_alone()
    two.saw(cluster.names.owners(), time.monotonic())
    assert not two.is_alone()


def test_it_looks_again_while_somebody_asks(cluster: Cluster) -> None:
    """So that whoever asks often is answered at once, and hears of a newcomer."""
    one = cluster.member("one")
    one.join()
    assert one.is_alone()
    looks = cluster.names.looks
    wait_until(lambda: one.is_alone() and cluster.names.looks > looks + 1, deadline_s=5)
    cluster.names.documents["two"] = {"lease_until": 0}
    wait_until(lambda: not one.is_alone(), deadline_s=2 * KNOWN_S)


def test_without_questions_what_was_seen_goes_stale(cluster: Cluster) -> None:
    """Not knowing is not being alone."""
    one = cluster.member("one")
    one.join()
    one.close()
    wait_until(lambda: not one.is_alone(), deadline_s=2 * KNOWN_S)


def test_names_that_did_nothing_for_a_day_are_forgotten(cluster: Cluster) -> None:
    """A process that was killed leaves its name; whoever comes a day later takes it away."""
    now = SystemClock().now_in_millis()
    cluster.names.documents = {
        "dead": {"lease_until": now - FORGOTTEN_MS - 1000},
        "idle": {"lease_until": now - FORGOTTEN_MS + 60_000},
    }
    cluster.member("one").join()
    assert set(cluster.names.documents) == {"idle", "one"}


def test_the_name_comes_when_opensearch_does_and_goes_at_the_end(cluster: Cluster) -> None:
    """In the background, for a process that starts before its OpenSearch."""
    one = cluster.member("one")
    cluster.names.away = True
    one.join_in_background()
    with pytest.raises(StoreUnavailable):
        one.join()
    cluster.names.away = False
    wait_until(lambda: "one" in cluster.names.documents, deadline_s=10)
    one.close()
    assert cluster.names.documents == {}


def test_a_process_that_never_joined_takes_nothing_away(cluster: Cluster) -> None:
    """Its end asks OpenSearch for nothing."""
    cluster.names.away = True
    cluster.member("one").close()
