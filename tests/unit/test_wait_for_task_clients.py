"""What wait_for_task can be given: a URL with an account, the official client, and clients that behave like it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opensearchpy import OpenSearch
from opensearchpy import exceptions as client_errors

from mlcommons_tasks.waiting import TaskTimeout, TaskUnreadable, wait_for_task
from tests.answers_in_order import (
    BUSY,
    DROP,
    NOT_FOUND,
    AnswersInOrder,
    Sleeps,
    answers_in_order,
    task,
    time_by_sleeping,
)


@pytest.fixture
def stage() -> Iterator[AnswersInOrder]:
    """A server of the test's own."""
    with answers_in_order() as stage:
        yield stage


@pytest.fixture(autouse=True)
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    """Time passes by sleeping only."""
    return time_by_sleeping(monkeypatch)


def test_an_account_in_the_url_is_sent_and_not_shown(stage: AnswersInOrder) -> None:
    """It becomes a header; errors have no trace of it."""
    stage.answers = [DROP]

    with pytest.raises(TaskTimeout) as caught:
        wait_for_task(stage.url.replace("//", "//me:secr%40t@"), "t1", timeout=1)

    assert stage.requests[0][1] == "Basic bWU6c2VjckB0"
    assert "secr" not in str(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize("answers", [[task("RUNNING"), task("COMPLETED")], [NOT_FOUND, DROP, BUSY, task("COMPLETED")]])
def test_the_official_client_will_do(stage: AnswersInOrder, answers: list[tuple[int, Any]]) -> None:
    """Its exceptions are understood, and its library is not needed for that."""
    stage.answers = list(answers)
    client = OpenSearch(stage.url, max_retries=0)

    assert wait_for_task(client, "t1")["state"] == "COMPLETED"
    client.close()


def test_the_official_client_is_refused(stage: AnswersInOrder) -> None:
    """What the client raised is the cause."""
    stage.answers = [(403, {"error": {"type": "security_exception", "reason": "no permissions"}, "status": 403})]
    client = OpenSearch(stage.url, max_retries=0)

    with pytest.raises(TaskUnreadable, match="403 no permissions") as caught:
        wait_for_task(client, "t1")

    assert isinstance(caught.value.__cause__, client_errors.AuthorizationException)
    client.close()


class Double:
    """A client that has nothing but `plugins.ml.get_task`."""

    def __init__(self, *results: Any) -> None:
        self.plugins = self
        self.ml = self
        self.results = list(results)

    def get_task(self, task_id: str) -> Any:
        """Give the next result."""
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


def test_a_client_with_the_method_alone_will_do() -> None:
    """`plugins.ml.get_task` is enough; a lost connection and a broken body are waited out."""
    broken = client_errors.SerializationError("{", ValueError("no JSON"))
    lost = client_errors.ConnectionTimeout("TIMEOUT", "timed out", OSError())
    client = Double(broken, lost, OSError("gone"), {"state": "COMPLETED"})

    assert wait_for_task(client, "t1")["state"] == "COMPLETED"


def test_a_certificate_that_is_not_trusted_is_not_waited_out() -> None:
    """It will not be trusted the next time."""
    client = Double(client_errors.SSLError("N/A", "self-signed", OSError()))

    with pytest.raises(TaskUnreadable, match="SSLError"):
        wait_for_task(client, "t1")


def test_a_bug_in_the_client_is_not_hidden() -> None:
    """What is no error of a connection is raised as it is."""
    with pytest.raises(ZeroDivisionError):
        wait_for_task(Double(ZeroDivisionError()), "t1")


def test_an_asynchronous_client_is_refused() -> None:
    """With the reason, and without a warning about a coroutine nobody awaited."""

    async def answer() -> None: ...

    with pytest.raises(TypeError, match="asynchronous"):
        wait_for_task(Double(answer()), "t1")


@pytest.mark.parametrize(("client", "error"), [(object(), TypeError), ("localhost:9200", ValueError)])
def test_something_else_is_no_client(client: Any, error: type[Exception]) -> None:
    """What can be given is said."""
    with pytest.raises(error, match="URL"):
        wait_for_task(client, "t1")
