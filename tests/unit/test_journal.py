"""The journal: what is kept of requests, how it is found, what makes room, and the closest misses."""

from __future__ import annotations

import dataclasses
import gzip
import json
import threading
import time
from typing import Any

import pytest

from mlcommons_tasks.emulation.entries import MOST_REQUEST, MOST_RESPONSE, Answer, Entry, entry_of, entry_of_bytes
from mlcommons_tasks.emulation.faults import Fault
from mlcommons_tasks.emulation.journal import Journal, Wanted, miss_of_fault
from mlcommons_tasks.errors import IllegalArgument

TASKS = "/_plugins/_ml/tasks"
SECRET = "hunter2"
REQUEST = (
    f"GET {TASKS}/abc?x=1 HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {SECRET}\r\n"
    "User-Agent: py\r\nX-Opaque-Id: me\r\n\r\n"
).encode()
REPLY_BODY = b'{"task_type":"TRAINING","state":"RUNNING"}'
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(REPLY_BODY),
    REPLY_BODY,
)


def entry(at: int = 1, target: str = f"{TASKS}/abc", **more: Any) -> Entry:
    fields: dict[str, Any] = {"took_in_millis": 0.5, "namespace": "main", "method": "GET", "status": 200}
    return Entry(at=at, target=target, **{**fields, **more})


def of(**more: Any) -> Entry:
    """Return an entry as it is made of a request."""
    given = {
        "at": 1,
        "took_in_millis": 1.0,
        "namespace": "main",
        "address": "1.2.3.4",
        "method": "POST",
        "target": "/x",
    }
    request = {"request_headers": [], "request_body": b"", "request_truncated": False, "status": 200}
    return entry_of(**{**given, **request, **more})


def test_raw_bytes_become_an_entry() -> None:
    """What the fast lane kept as bytes is read as what the usual way keeps, without who asked."""
    journal = Journal()
    journal.add_raw(7, "main", "1.2.3.4", REQUEST, REPLY, 0.25)

    [found] = journal.find("main")
    assert (found.at, found.took_in_millis, found.namespace, found.address) == (7, 0.25, "main", "1.2.3.4")
    assert (found.method, found.target, found.status) == ("GET", f"{TASKS}/abc?x=1", 200)
    assert (found.user_agent, found.opaque_id) == ("py", "me")
    assert dict(found.request_headers) == {"Host": "h", "Authorization": "***", "User-Agent": "py", "X-Opaque-Id": "me"}
    assert found.response_body == REPLY_BODY
    assert found.states_read == {"abc": "RUNNING"}
    assert journal.find("main")[0] is found


def test_raw_bytes_hold_no_account() -> None:
    """Who asks is not even kept in the bytes that nobody has read yet."""
    for line in (b"Authorization: Basic x", b"AUTHORIZATION:x", b"Cookie: x", b"X-Emulator-Token: x"):
        journal = Journal()
        for number in range(2):  # the second time the head is known
            request = REQUEST.replace(b"Authorization: Basic", line.replace(b"x", b""))
            assert SECRET.encode() in request
            journal.add_raw(number, "main", "a", request, REPLY, 0.1)
        assert SECRET not in repr([kept._raw for kept in journal._kept["main"]])
        assert SECRET not in repr([each.to_document() for each in journal.find("main")])


def test_a_raw_search_is_read_whole() -> None:
    """A search of the fast lane has its body, from which secrets are left out."""
    body = b'{"query":{"term":{"password":"hunter2"}}}'
    head = f"POST {TASKS}/_search HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    found = entry_of_bytes(1, "main", "a", head + body, REPLY, 0.1)
    assert found.request_body == b'{"query":{"term":{"password":"***"}}}'


def test_adding_is_cheap() -> None:
    """To keep a poll of the fast lane takes microseconds, best of several runs."""
    best = 1.0
    for _ in range(5):
        journal = Journal()
        began = time.perf_counter()
        for _ in range(5_000):
            journal.add_raw(1, "main", "a", REQUEST, REPLY, 0.1)
        best = min(best, (time.perf_counter() - began) / 5_000)

    assert best < 20e-6


def test_bodies_are_cut_and_unpacked() -> None:
    """Bodies are kept up to their limits, decompressed; what cannot be is not kept."""
    long = b"a" * (MOST_RESPONSE + 1)
    packed = gzip.compress(b'{"password":"hunter2","b":1}')
    found = of(request_body=long, response_body=long)
    assert (len(found.request_body), found.request_truncated) == (MOST_REQUEST, True)
    assert (len(found.response_body), found.response_truncated) == (MOST_RESPONSE, True)

    found = of(
        request_body=packed,
        request_headers=[("Content-Encoding", "gzip")],
        response_body=packed[:-3],  # the end may be missing
        response_headers=[("content-encoding", "GZIP")],
    )
    assert found.request_body == found.response_body == b'{"password":"***","b":1}'
    assert not found.request_truncated

    found = of(response_body=gzip.compress(long), response_headers=[("Content-Encoding", "gzip")])
    assert (found.response_body, found.response_truncated) == (long[:MOST_RESPONSE], True)

    found = of(response_body=packed, response_headers=[("Content-Encoding", "br")])
    assert (found.response_body, found.response_truncated) == (b"***", True)
    assert of(response_body=b"no gzip", response_headers=[("Content-Encoding", "gzip")]).response_body == b"***"


def test_nothing_secret_is_anywhere_in_an_entry() -> None:
    """Headers, target, bodies and the answer behind a stale one are all looked through."""
    body = b'{"token":"hunter2"}'
    found = of(
        target=f"/x?password={SECRET}",
        request_headers=[("Authorization", SECRET), ("X-Opaque-Id", f"Bearer {SECRET}"), ("X-User", SECRET)],
        request_body=body,
        response_headers=[("Set-Cookie", SECRET), ("Location", f"http://a:{SECRET}@h/")],
        response_body=body,
        identity_headers={"x-user"},
        instead_of=Answer(200, (("Set-Cookie", SECRET),), body),
    )

    assert SECRET not in repr(found)
    assert SECRET not in json.dumps(found.to_document())


@pytest.mark.parametrize(
    "one",
    [
        entry(),
        entry(request_body=b"\xff\x00", response_body="ä".encode(), response_headers=(("A", "b"),), dropped=True),
        entry(
            status=None, opaque_id="o", user_agent="u", address="a", fault="f", scenario="s", response_truncated=True
        ),
        entry(task_id="abc", instead_of=Answer(404, (("A", "b"),), b"\xff")),
    ],
)
def test_an_entry_is_written_and_read(one: Entry) -> None:
    """An entry goes through JSON and comes back as it was, but for the task that its path tells."""
    document = json.loads(json.dumps(one.to_document()))

    assert Entry.from_document(document) == dataclasses.replace(one, task_id="abc")
    assert document["task_id"] == "abc"


def test_headers_of_one_name_are_joined() -> None:
    """In JSON a header that came twice is one."""
    assert entry(request_headers=(("A", "1"), ("A", "2"))).to_document()["request_headers"] == {"A": "1, 2"}


def test_a_body_cut_within_a_character_is_text() -> None:
    """A text that was cut off is shown as text."""
    assert entry(response_body="aä".encode()[:-1]).to_document()["response_body"] == "a"


HITS = b'{"hits":{"total":{"value":2},"hits":[{"_id":"a","_source":{"state":"FAILED"}},{"_id":"b","_source":{}}]}}'


@pytest.mark.parametrize(
    ("one", "states"),
    [
        (entry(response_body=REPLY_BODY), {"abc": "RUNNING"}),
        (entry(target=f"{TASKS}/abc/?pretty", response_body=REPLY_BODY), {"abc": "RUNNING"}),
        (
            entry(response_body=b'---\nstate: "FAILED"\n', response_headers=(("Content-Type", "application/yaml"),)),
            {"abc": "FAILED"},
        ),
        (entry(response_body=REPLY_BODY, status=404), {}),
        (entry(response_body=b'{"sta'), {"abc": None}),
        (entry(response_body=REPLY_BODY, method="DELETE"), {}),
        (entry(target=f"{TASKS}/abc/_cancel", response_body=REPLY_BODY), {}),
        (entry(target=f"{TASKS}/_search?x", method="POST", response_body=HITS), {"a": "FAILED", "b": None}),
        (entry(target="/.plugins-ml-task/_search", response_body=HITS), {"a": "FAILED", "b": None}),
        (entry(target="/other/_search", response_body=HITS), {}),
        (entry(target=f"{TASKS}/_search", response_body=HITS[:-10], response_truncated=True), {"a": "FAILED"}),
    ],
)
def test_which_reads_show_which_states(one: Entry, states: dict[str, str | None]) -> None:
    """A GET shows a task's state, a search those of all that it found, in any format, also if it was cut off."""
    assert one.states_read == states
    assert set(states) <= one.task_ids


def test_which_requests_make_tasks() -> None:
    """A task is made by a POST that answers with its id, or is said to be."""
    made = entry(method="POST", target="/_plugins/_ml/_train/KMEANS?async=true", response_body=b'{"task_id":"t"}')

    assert made.task_created == "t"
    assert made.to_document()["task_id"] == "t"
    assert dataclasses.replace(made, status=429).task_created is None
    assert dataclasses.replace(made, response_body=b'{"model_id":"m"}').task_created is None
    assert dataclasses.replace(made, response_body=b"", task_id="u").task_created == "u"
    assert entry(response_body=b'{"task_id":"t"}').task_created is None


@pytest.mark.parametrize(
    ("parameters", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"method": "post"}, [2]),
        ({"path": f"{TASKS}/*"}, [1, 3, 4, 5]),
        ({"path": "*_train*"}, [2]),
        ({"path": f"{TASKS}/abc?pretty"}, []),
        ({"status": "404"}, [3]),
        ({"status": "4xx"}, [3]),
        ({"status": "dropped"}, [4]),
        ({"opaque_id": "m*"}, [1, 3]),
        ({"user_agent": "py"}, [3]),
        ({"task_id": "abc"}, [1, 2, 3]),
        ({"task_id": "a"}, [5]),
        ({"since": "3"}, [3, 4, 5]),
        ({"limit": "2"}, [4, 5]),
        ({"limit": "2", "status": "2xx"}, [2, 5]),
        ({"limit": "0"}, []),
    ],
)
def test_finding(parameters: dict[str, str], numbers: list[int]) -> None:
    """Entries are found by all that is asked for, the newest last; a limit shows the newest."""
    journal = Journal()
    for one in (
        entry(1, f"{TASKS}/abc?pretty", opaque_id="me"),
        entry(2, "/_plugins/_ml/_train/KMEANS", method="POST", response_body=b'{"task_id":"abc"}'),
        entry(3, status=404, opaque_id="m", user_agent="py"),
        entry(4, f"{TASKS}/d", status=None, dropped=True),
        entry(5, f"{TASKS}/_search", response_body=HITS),
    ):
        journal.append(one)

    assert [each.at for each in journal.find("main", Wanted.of(parameters))] == numbers
    without_limit = Wanted.of({name: value for name, value in parameters.items() if name != "limit"})
    assert journal.count("main", Wanted.of(parameters)) == len(journal.find("main", without_limit))
    assert journal.find("other", Wanted.of(parameters)) == []


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"statuss": "1"}, "`statuss`"),
        ({"limit": "-1"}, "`limit`"),
        ({"since": "x"}, "`since`"),
        ({"status": "4"}, "`status`"),
    ],
)
def test_parameters_that_are_wrong(parameters: dict[str, str], named: str) -> None:
    """A parameter that is not known or cannot be read is named."""
    with pytest.raises(IllegalArgument, match=named):
        Wanted.of(parameters)


def test_the_oldest_make_room() -> None:
    """Each namespace keeps its newest entries, and all together no more bytes than they may."""
    journal = Journal(most_entries=3, most_bytes=48_000)
    for number in range(5):
        journal.append(entry(number, namespace="one"))
    assert [each.at for each in journal.entries("one")] == [2, 3, 4]

    for number in range(10, 18):
        journal.append(entry(number, namespace="two" if number % 2 else "one", response_body=b"x" * 9_000))
    assert journal._bytes <= 48_000
    assert [each.at for each in journal.entries("one")] == [14, 16]
    assert [each.at for each in journal.entries("two")] == [15, 17]
    assert journal._bytes == sum(kept.size for entries in journal._kept.values() for kept in entries)

    journal.append(entry(20, namespace="three", response_body=b"x" * 60_000))
    assert journal.entries("one") == journal.entries("two") == journal.entries("three") == []
    assert journal._bytes == 0


def test_forgetting() -> None:
    """One namespace is forgotten, or all."""
    journal = Journal()
    for namespace in ("one", "two", "three"):
        journal.append(entry(namespace=namespace))

    journal.clear("one")
    assert (journal.count("one"), journal.count("two")) == (0, 1)
    journal.clear()
    assert (journal.count("two"), journal._bytes) == (0, 0)
    journal.clear("never seen")


def test_last_answers() -> None:
    """The answers of the same request, newest first: by method, target and body; no half ones."""
    journal = Journal()
    journal.add_raw(1, "main", "a", REQUEST, REPLY, 0.1)
    target = f"{TASKS}/abc?x=1"
    for one in (
        entry(2, target, response_body=b"2"),
        entry(3, target, request_body=b"{}"),
        entry(4, target, method="POST"),
        entry(5, f"{TASKS}/abc?x=2"),
        entry(6, target, dropped=True),
        entry(7, target, response_truncated=True),
        entry(7, target, response_body=b'{"token":"***"}'),
        entry(8, target, response_body=b"old", instead_of=Answer(200, (), b"new")),
        entry(9, target, namespace="other"),
    ):
        journal.append(one)

    found = journal.last_answers("main", "GET", target, b"")
    assert [each.at for each in found] == [8, 2, 1]
    assert [each.answer.body for each in found if each.answer] == [b"new", b"2", REPLY_BODY]
    assert [each.at for each in journal.last_answers("main", "GET", target, b"{}")] == [3]


def test_last_answers_know_requests_with_secrets() -> None:
    """A request with something that is not kept is still the same request."""
    journal, body = Journal(), b'{"password":"x"}' + b" " * MOST_REQUEST
    journal.append(of(target="/x?token=x", request_body=body))

    assert journal.last_answers("main", "POST", "/x?token=x", body)


def test_closest_misses() -> None:
    """A fault that never matched has the request with the fewest differences, the latest of several, and those."""
    requests = [
        entry(1, "/other", method="POST"),
        entry(2, f"{TASKS}/abc", opaque_id="me"),
        entry(3, f"{TASKS}/def", opaque_id="you"),
        entry(4, "/other"),
    ]
    match = {"method": "GET", "path": f"{TASKS}/*", "opaque_id": "them"}
    missed = miss_of_fault(Fault.read({"name": "f", "match": match, "effect": {"drop": True}}), requests)

    assert missed["request"]["at"] == 3
    assert missed["differs"] == [{"field": "opaque_id", "wanted": "them", "was": "you"}]
    assert miss_of_fault(Fault.read({"name": "f", "effect": {"drop": True}}), []) == {
        "kind": "fault",
        "name": "f",
        "request": None,
        "differs": [],
    }


def test_threads_share_a_journal() -> None:
    """Threads that add, read and forget at once lose and break nothing."""
    journal, failures = Journal(most_entries=500, most_bytes=200_000), []

    def work(number: int) -> None:
        try:
            for at in range(1_000):
                journal.add_raw(at, f"n{number % 2}", "a", REQUEST, REPLY, 0.1)
                if at % 50 == 0:
                    assert all(each.status == 200 for each in journal.find("n0"))
                if at % 400 == 0:
                    journal.clear("n1")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert journal._bytes == sum(kept.size for entries in journal._kept.values() for kept in entries)
