"""What the emulator remembers: in a process, in the index of an in-memory server, and in that of a real node."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlcommons_tasks.emulation.memory import ProcessMemory
from mlcommons_tasks.store.connection import open_client
from mlcommons_tasks.store.emulation import Conflict, IndexMemory, Memory, Remembered, drop_indices, indices_like
from mlcommons_tasks.store.endpoint import Endpoint
from mlcommons_tasks.store.mappings import EMULATION_INDEX
from mlcommons_tasks.store.upstream import Upstream


@contextlib.contextmanager
def in_index(url: str) -> Iterator[tuple[IndexMemory, IndexMemory]]:
    """Two replicas' memories in the index of one OpenSearch, which is not there yet, and goes."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(open_client(Endpoint.at(url)))) for _ in range(2)]
        drop_indices(clients[0], [EMULATION_INDEX])
        upstream = stack.enter_context(contextlib.closing(Upstream(Endpoint.at(url))))
        one, other = (IndexMemory(client, upstream) for client in clients)
        yield one, other
        drop_indices(clients[0], [EMULATION_INDEX])


@pytest.fixture(params=["process", "memory", "embedded"])
def both(request: pytest.FixtureRequest) -> Iterator[tuple[Memory, Memory]]:
    """One memory as two replicas have it; a process has but one."""
    if request.param == "process":
        alone = ProcessMemory()
        yield alone, alone
        return
    url = (
        request.getfixturevalue("opensearch_url")
        if request.param == "embedded"
        else request.getfixturevalue("memory_server").url
    )
    with in_index(url) as memories:
        yield memories


def texts(memory: Memory, kind: str = "k", namespace: str = "n") -> dict[str, str]:
    """Return the documents of a kind."""
    return {kept.name: kept.text for kept in memory.all(kind, namespace)}


def test_what_is_missing_is_nothing(both: tuple[Memory, Memory]) -> None:
    """Before anything was written, nothing fails."""
    memory, _ = both
    assert memory.get("k", "n", "a") is None
    assert memory.all("k", "n") == []
    assert memory.namespaces() == set()
    memory.delete("k", "n", ["a"])
    memory.delete("k", "n", [])
    memory.forget("n")


def test_what_one_writes_the_other_reads_at_once(both: tuple[Memory, Memory]) -> None:
    """By its name and among all."""
    one, other = both
    written = one.put("k", "n", "a", "1", None)
    assert other.get("k", "n", "a") == written == Remembered("a", "1", written.version)
    assert texts(other) == {"a": "1"}

    again = other.put("k", "n", "a", "2", other.get("k", "n", "a"))
    assert one.get("k", "n", "a") == again
    assert again != written
    assert texts(one) == {"a": "2"}
    one.delete("k", "n", ["a", "never"])
    assert other.get("k", "n", "a") is None
    assert texts(other) == {}


def test_kinds_namespaces_and_names_are_apart(both: tuple[Memory, Memory]) -> None:
    """Whatever they have in them."""
    memory, other = both
    names = ["a", "A", "a/b", "a b", "ä", "*", "_x", "a" * 200]
    for kind, namespace, name in itertools.product(("k", "l"), ("n", "n-1"), names):
        memory.put(kind, namespace, name, f"{kind}{namespace}{name}", None)

    for kind, namespace in itertools.product(("k", "l"), ("n", "n-1")):
        assert texts(other, kind, namespace) == {name: f"{kind}{namespace}{name}" for name in names}
    memory.delete("k", "n", names[:-1])
    assert set(texts(other)) == {names[-1]}
    memory.forget("n")
    assert texts(other) == texts(other, "l") == {}
    assert set(texts(other, "l", "n-1")) == set(names)


def test_who_saw_an_older_one_is_refused(both: tuple[Memory, Memory]) -> None:
    """One that is there, that was written since, that is gone, or that came back with the same text."""
    one, other = both
    first = one.put("k", "n", "a", "1", None)
    with pytest.raises(Conflict):
        other.put("k", "n", "a", "1", None)
    second = other.put("k", "n", "a", "1", first)
    with pytest.raises(Conflict):
        one.put("k", "n", "a", "2", first)
    one.delete("k", "n", ["a"])
    with pytest.raises(Conflict):
        other.put("k", "n", "a", "2", second)
    assert one.get("k", "n", "a") is None
    other.put("k", "n", "a", "1", None)
    with pytest.raises(Conflict):
        one.put("k", "n", "a", "2", second)


def test_one_of_many_writers_comes_first(both: tuple[Memory, Memory]) -> None:
    """Each sees the others' writes: none is lost, though all write the same."""
    both[0].put("k", "n", "a", "0", None)

    def count(number: int) -> None:
        memory = both[number % 2]
        while True:
            before = memory.get("k", "n", "a")
            assert before is not None
            with contextlib.suppress(Conflict):
                memory.put("k", "n", "a", str(int(before.text) + 1), before)
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(40)))

    assert texts(both[1]) == {"a": "40"}


def test_one_of_many_creates(both: tuple[Memory, Memory]) -> None:
    """The others are refused, though all have the same text."""

    def create(number: int) -> bool:
        try:
            both[number % 2].put("k", "n", "a", "same", None)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(16))) == 1


def test_a_long_text_is_kept(both: tuple[Memory, Memory]) -> None:
    """Longer than a term may be, and with all that JSON has to escape."""
    text = '"\\\n\u2028\U0001f600\0' * 10_000
    both[0].put("k", "n", "a", text, None)
    assert texts(both[1]) == {"a": text}


def test_namespaces_are_those_with_a_state(both: tuple[Memory, Memory]) -> None:
    """However they were made; one that is forgotten is none."""
    one, other = both
    one.put("state", "n", "state", "{}", None)
    one.put("state", "m", "state", "{}", None)
    assert other.namespaces() == {"n", "m"}
    other.forget("n")
    assert one.namespaces() == {"m"}


def test_the_index_is_hidden_and_ours(opensearch_url: str) -> None:
    """Wildcards of callers do not reach it; who asks for hidden ones finds it."""
    with in_index(opensearch_url) as (memory, _):
        memory.put("k", "n", "a", "1", None)
        client = open_client(Endpoint.at(opensearch_url))
        with contextlib.closing(client):
            assert EMULATION_INDEX in indices_like(client, f"{EMULATION_INDEX}*")
            assert EMULATION_INDEX not in client.indices.get(index="*")
            found = client.indices.get(index=EMULATION_INDEX)[EMULATION_INDEX]
            assert str(found["mappings"]["dynamic"]).lower() == "false"
            assert set(found["mappings"]["properties"]) == {"kind", "namespace", "name"}
