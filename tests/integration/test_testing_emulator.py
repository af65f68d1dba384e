"""The emulator as a context, without pytest's fixtures: its start, its end, its namespaces."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlcommons_tasks import Emulator, running_service
from mlcommons_tasks.testing import CannotStart, EmulatorError
from mlcommons_tasks.testing.process import ServiceProcess
from mlcommons_tasks.testing.shared import Landlord, ask

SCENARIOS = Path(__file__).parents[2] / "fixtures" / "scenarios"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """A service in memory."""
    with Emulator(opensearch="memory") as emulator:
        yield emulator


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary folders of this test are made; its name is short, for sockets have short ones."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def names(emulator: Emulator) -> set[str]:
    """Return the namespaces that there are."""
    return {it["name"] for it in emulator._control.get("namespaces")["namespaces"]}


def test_over_a_service_that_runs_it_has_a_namespace(emulator: Emulator) -> None:
    """Which is deleted at the end; the main one is not touched."""
    emulator.scenario("slow", name="of-the-main-one")
    with Emulator(url=emulator.url) as guest:
        guest.scenario("fails")
        assert guest.url == f"{emulator.url}/_emulator/in/{guest.name}"
        assert guest.name in names(emulator)
        with guest.namespace("inner") as inner:
            inner.scenario("fails")
            assert {inner.name, guest.name} <= names(emulator)

    assert names(emulator) & {guest.name, inner.name} == set()
    assert emulator.info()["namespace"] == "main"


@pytest.mark.parametrize("arguments", [{"opensearch": "memory"}, {"seed": 7}])
def test_a_service_that_runs_cannot_be_told_how_to_run(arguments: dict[str, Any]) -> None:
    """It has its own settings."""
    with pytest.raises(ValueError, match="has its own settings"):
        Emulator(url="http://127.0.0.1:9", **arguments)


def test_a_setting_that_there_is_not_fails_at_once() -> None:
    """A typing error is not a service of other settings; what is derived from others cannot be set."""
    for name in ("bogus", "is_own"):
        with pytest.raises(TypeError, match=rf"there is no setting {name}; there are .*\bml_commons_version\b.*\bseed"):
            Emulator("memory", **{name: 1})


@pytest.mark.parametrize("name", ["scenario", "fault", "clock", "journal", "url", "client", "name"])
def test_before_its_start_it_says_how_to_start_it(name: str) -> None:
    """Who forgets `with` is told so, whatever is asked for first."""
    for emulator in (Emulator("memory"), Emulator(url="http://127.0.0.1:9")):
        with pytest.raises(AttributeError, match=r"before it is started: use it with `with`, or call start\(\)"):
            getattr(emulator, name)


def test_a_name_that_it_has_not_is_the_usual_error(emulator: Emulator) -> None:
    """After its start only the name is wrong."""
    with pytest.raises(AttributeError, match="'Emulator' object has no attribute 'scenaro'"):
        _ = emulator.scenaro  # type: ignore[attr-defined]


def test_what_is_no_service_of_ours_is_told() -> None:
    """A plain OpenSearch, or a service whose emulator is off, does not know the control API."""
    with running_service(opensearch="memory", emulator=False) as service:
        for url in (service.url, service.opensearch_url):
            said = f"^{url} is no service of mlcommons-tasks with an emulator: give the URL that .*GET /_emulator: 40"
            with pytest.raises(EmulatorError, match=said):
                Emulator(url=url).start()


def test_a_start_that_fails_leaves_nothing(folders: Path) -> None:
    """The error has the service's own words."""
    with (
        pytest.raises(CannotStart, match=r"ended with code 2; its log:\n(.|\n)*opensearch must be"),
        Emulator("nonsense"),
    ):
        pass

    assert list(folders.iterdir()) == []


def test_a_start_that_takes_too_long_is_given_up(folders: Path) -> None:
    """And stopped."""
    process = ServiceProcess("memory")
    with pytest.raises(CannotStart, match="did not answer within 0 s"):
        process.wait_ready(0)
    process.stop()

    assert list(folders.iterdir()) == []


def test_it_leaves_nothing(folders: Path) -> None:
    """No process, no folder; and the end of one that died before is no error."""
    with Emulator("memory") as emulator, emulator.namespace() as namespace:
        namespace.scenario("slow")
        assert emulator._process is not None
        pid = emulator._process.pid
        emulator._process.stop()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert list(folders.iterdir()) == []


def test_settings_are_those_of_serve() -> None:
    """Also what is left out, and what the person who runs the tests has in the environment is not used."""
    with Emulator("memory", ml_commons_version="2.19.1", lease=None) as emulator:
        version = emulator.client.transport.perform_request("GET", "/_cat/plugins?h=component,version")

    assert "opensearch-ml 2.19.1" in version


def test_a_scenario_file_is_loaded(emulator: Emulator) -> None:
    """From a path, or parsed; a mistake is named."""
    with emulator.namespace("files") as namespace:
        for file in sorted(SCENARIOS.glob("*.json")):
            if file.name != "schema.json":
                namespace.load(file)
        assert len(namespace._control.get("scenarios")["scenarios"]) >= 5
        with pytest.raises(EmulatorError, match="Unknown preset"):
            namespace.load({"scenarios": [{"name": "a", "preset": "slwo"}]})


def test_ids_follow_from_a_seed(emulator: Emulator) -> None:
    """The same in two namespaces of one name would be the same; in one, a seed that is set again repeats them."""
    with emulator.namespace("ids") as namespace:
        scenario = {"name": "s", "preset": "fails"}
        ids = []
        for _ in range(2):
            namespace.seed_ids(7)
            ids.append(namespace.task("TRAINING", "KMEANS", scenario=scenario))
            namespace.reset()
        namespace.seed_ids(None)
        ids.append(namespace.task("TRAINING", "KMEANS", scenario=scenario))

    assert ids[0] == ids[1] != ids[2]


def test_a_landlord_starts_nothing_until_asked(folders: Path) -> None:
    """It has a socket only; whoever asks gets the same service, which ends with it."""
    landlord = Landlord("memory")
    assert [path.name[:5] for path in folders.iterdir()] == ["mlct-"]
    one, other = ask(landlord.address), ask(landlord.address)
    assert one == other
    landlord.close()

    assert list(folders.iterdir()) == []
    with pytest.raises(CannotStart, match="does not answer"):
        ask(landlord.address)


def test_what_a_killed_run_left_is_removed(folders: Path) -> None:
    """A socket that nobody listens at, once it is old; one of a run that goes on stays."""
    left, young = folders / "mlct-left", folders / "mlct-young"
    for folder in (left, young):
        folder.mkdir()
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(folder / "s"))
    other = Landlord("memory")
    hour_ago = time.time() - 3600
    for folder in (left, Path(other.address).parent):
        os.utime(folder, (hour_ago, hour_ago))

    Landlord("memory").close()

    assert not left.exists()
    assert young.exists()
    assert Path(other.address).exists()
    other.close()


def test_a_landlord_says_why_it_has_no_service() -> None:
    """And does not try again."""
    landlord = Landlord("nonsense")
    try:
        for _ in range(2):
            with pytest.raises(CannotStart, match="opensearch must be"):
                ask(landlord.address)
    finally:
        landlord.close()


@pytest.mark.embedded
def test_a_real_node_can_be_under_it() -> None:
    """The same over the embedded OpenSearch, where a namespace's tasks are found by a search as well."""
    with Emulator("embedded") as emulator, emulator.namespace() as namespace:
        namespace.scenario("fails", reads=0, name="mine")
        task_id = namespace.task("TRAINING", "KMEANS", scenario="mine")
        search = {"query": {"term": {"state": "FAILED"}}}
        hits = namespace.client.transport.perform_request("POST", "/_plugins/_ml/tasks/_search", body=search)["hits"]

        assert emulator._running.opensearch["kind"] == "embedded"
        assert [hit["_id"] for hit in hits["hits"]] == [task_id]
