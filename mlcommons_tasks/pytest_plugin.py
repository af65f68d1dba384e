"""Fixtures for tests of what trains, polls and predicts: found by pytest itself, and loaded in every run of its users.

So at import time it knows pytest and little of the standard library; nothing is started before a fixture is used.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from mlcommons_tasks.testing.clock import Clock
    from mlcommons_tasks.testing.faults import Faults
    from mlcommons_tasks.testing.journal import Journal
    from mlcommons_tasks.testing.namespace import Namespace
    from mlcommons_tasks.testing.process import Service
    from mlcommons_tasks.testing.scenarios import Scenarios
    from mlcommons_tasks.testing.shared import Landlord

#: The two ways to say which service; at each place one of them may be given, and the first place that has one wins.
URL, OPENSEARCH = "mlcommons_tasks_url", "mlcommons_tasks_opensearch"
VARIABLES = {URL: "MLCOMMONS_TASKS_TEST_URL", OPENSEARCH: "MLCOMMONS_TASKS_TEST_OPENSEARCH"}
TOKEN_VARIABLE = "MLCOMMONS_TASKS_TEST_TOKEN"  # noqa: S105 - the name of a variable
IF_MISSING = "mlcommons_tasks_if_missing"
MISSING = ("error", "skip")  #: what may become of tests then
FAIL_ON = "mlcommons_tasks_fail_on"
SOCKET = "mlcommons_tasks_socket"  #: under which a worker of pytest-xdist is told where to ask

_landlord: pytest.StashKey[Landlord] = pytest.StashKey()
_namespace: pytest.StashKey[Namespace] = pytest.StashKey()


class Choice(NamedTuple):
    """Which service the run uses: one that runs already, or one over an OpenSearch; neither is the default."""

    url: str | None = None
    opensearch: str | None = None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and the settings of the ini file."""
    group = parser.getgroup("mlcommons-tasks", "the emulated ML Commons")
    group.addoption("--mlcommons-tasks-url", metavar="URL", help="use a service that runs already")
    group.addoption(
        "--mlcommons-tasks-opensearch",
        metavar="WHAT",
        help="start a service over this: memory, embedded or the URL of an OpenSearch (default: what is installed)",
    )
    group.addoption(
        "--mlcommons-tasks-fail-on",
        metavar="CHECKS",
        help="fail tests whose pollers do such a thing, as in `mlcommons-tasks audit`: never-final,no-retry",
    )
    parser.addini(URL, "the URL of a service that runs already", default="")
    parser.addini(OPENSEARCH, "start a service over this: memory, embedded or the URL of an OpenSearch", default="")
    parser.addini(IF_MISSING, "what becomes of tests if no OpenSearch is installed: error or skip", default="error")
    parser.addini(FAIL_ON, "checks of the audit that fail a test, with commas or spaces between", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what nobody knows before the first test.

    Raises:
        UsageError: a check is none, or a setting has a value that it cannot have; the message lists what there is.
    """
    if config.getini(IF_MISSING) not in MISSING:
        told, listed = config.getini(IF_MISSING), " and ".join(MISSING)
        raise pytest.UsageError(f"mlcommons-tasks: {IF_MISSING} cannot be [{told}]; there are {listed}")
    checks = checks_of(config)
    if checks:
        from mlcommons_tasks.emulation.audit_checks import check_named
        from mlcommons_tasks.errors import IllegalArgument

        try:
            for check in checks:
                check_named(check)
        except IllegalArgument as error:
            place = "--mlcommons-tasks-fail-on" if config.getoption(FAIL_ON, None) else FAIL_ON
            raise pytest.UsageError(f"mlcommons-tasks: {place}: {error}") from error


def checks_of(config: pytest.Config) -> list[str]:
    """Return the checks of the audit that fail a test."""
    told: str = config.getoption(FAIL_ON, None) or config.getini(FAIL_ON)
    return told.replace(",", " ").split()


def choice_of(config: pytest.Config) -> Choice:
    """Return what was chosen: an option wins over the ini file, that over the environment.

    Raises:
        UsageError: both ways were chosen at the same place.
    """
    places = {
        "as options": {name: config.getoption(name, None) for name in (URL, OPENSEARCH)},
        "in the ini file": {name: config.getini(name) for name in (URL, OPENSEARCH)},
        "in the environment": {name: os.environ.get(variable) for name, variable in VARIABLES.items()},
    }
    for place, given in places.items():
        if given[URL] and given[OPENSEARCH]:
            raise pytest.UsageError(f"mlcommons-tasks: a URL and an OpenSearch are both given {place}: give one")
        if given[URL] or given[OPENSEARCH]:
            return Choice(given[URL] or None, given[OPENSEARCH] or None)
    return Choice()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where it gets the service that all workers share."""
    config: pytest.Config = node.config
    choice = choice_of(config)
    if choice.url is not None:
        return
    if _landlord not in config.stash:
        from mlcommons_tasks.testing.shared import Landlord

        config.stash[_landlord] = Landlord(choice.opensearch)
    node.workerinput[SOCKET] = config.stash[_landlord].address


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the service that workers shared."""
    landlord = config.stash.get(_landlord, None)
    if landlord is not None:
        del config.stash[_landlord]
        landlord.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Show with a test that failed what its service was asked."""
    report: pytest.TestReport = (yield).get_result()
    namespace = item.stash.get(_namespace, None)
    if namespace is not None and report.failed and report.when == "call":
        from mlcommons_tasks.testing.control import EmulatorError

        try:
            report.sections.append(("mlcommons-tasks", namespace.told()))
        except EmulatorError as error:
            report.sections.append(("mlcommons-tasks", str(error)))


@pytest.fixture(scope="session")
def mlcommons_tasks_service(pytestconfig: pytest.Config) -> Iterator[Service]:
    """The service of this run, for all tests and all workers: `url`, `opensearch`, `token`."""
    from mlcommons_tasks.testing import process

    choice = choice_of(pytestconfig)
    address = getattr(pytestconfig, "workerinput", {}).get(SOCKET)
    if choice.url is not None:
        yield _running(choice.url)
    elif address is not None and os.path.exists(address):  # noqa: PTH110 - pathlib is not needed otherwise
        from mlcommons_tasks.testing.shared import ask

        _skip_if_missing(pytestconfig, choice)
        yield ask(address)
    else:
        _skip_if_missing(pytestconfig, choice)
        started = process.ServiceProcess(choice.opensearch or process.default_opensearch())
        try:
            yield started.wait_ready()
        finally:
            started.stop()


def _running(url: str) -> Service:
    """Return a service that runs already, once it said that it is one."""
    from mlcommons_tasks.testing.namespace import Namespace
    from mlcommons_tasks.testing.process import Service

    service = Service(url.rstrip("/"), token=os.environ.get(TOKEN_VARIABLE) or None)
    namespace = Namespace(service.url, token=service.token)
    try:
        namespace.info()
    finally:
        namespace.close()
    return service


def _skip_if_missing(config: pytest.Config, choice: Choice) -> None:
    """Skip if nothing is installed, nothing was chosen, and the ini file says so."""
    from mlcommons_tasks.testing.process import CannotStart, default_opensearch

    if choice.opensearch is None and config.getini(IF_MISSING) == "skip":
        try:
            default_opensearch()
        except CannotStart as error:
            pytest.skip(str(error))


@pytest.fixture(scope="session")
def mlcommons_tasks_url(mlcommons_tasks_service: Service) -> str:
    """The address of the service, whose main namespace all tests share."""
    return mlcommons_tasks_service.url


@pytest.fixture
def mlcommons_tasks_namespace(mlcommons_tasks_service: Service, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A namespace for this test alone: tasks, models, scenarios, faults, journal and clock. Deleted afterwards."""
    from mlcommons_tasks.testing.namespace import Namespace, name_for

    name = name_for(request.node.nodeid.rpartition("::")[2])
    namespace = Namespace(mlcommons_tasks_service.url, name, mlcommons_tasks_service.token)
    request.node.stash[_namespace] = namespace
    checks = checks_of(request.config)
    try:
        yield namespace
        if checks:
            namespace.journal.assert_polled_well(*checks)
    finally:
        del request.node.stash[_namespace]
        namespace.discard()


@pytest.fixture
def mlcommons_tasks_namespace_url(mlcommons_tasks_namespace: Namespace) -> str:
    """The address for the pipeline under test: each request to it belongs to this test."""
    return mlcommons_tasks_namespace.url


@pytest.fixture
def mlcommons_tasks_client(mlcommons_tasks_namespace: Namespace) -> OpenSearch:
    """A client of opensearch-py in this test's namespace, with the client's own defaults."""
    return mlcommons_tasks_namespace.client


@pytest.fixture
def mlcommons_tasks_scenario(mlcommons_tasks_namespace: Namespace) -> Scenarios:
    """Say what tasks do: `mlcommons_tasks_scenario("slow", seconds=30)`."""
    return mlcommons_tasks_namespace.scenario


@pytest.fixture
def mlcommons_tasks_fault(mlcommons_tasks_namespace: Namespace) -> Faults:
    """Have requests fail: `mlcommons_tasks_fault(status=503, path="/_plugins/_ml/tasks/*", first=1)`."""
    return mlcommons_tasks_namespace.fault


@pytest.fixture
def mlcommons_tasks_clock(mlcommons_tasks_namespace: Namespace) -> Clock:
    """Stop and move this test's time; `patch_sleep(monkeypatch)` has a poller's sleep move it."""
    return mlcommons_tasks_namespace.clock


@pytest.fixture
def mlcommons_tasks_journal(mlcommons_tasks_namespace: Namespace) -> Journal:
    """Ask what this test's service was asked."""
    return mlcommons_tasks_namespace.journal
