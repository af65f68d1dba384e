"""Resets over HTTP: what the emulator made is gone, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from mlcommons_tasks import running_service
from mlcommons_tasks.backend import MemoryBackend, Running
from tests.clients import MODELS, Client, long_body
from tests.emulators import CONTROL, SMALL, Stand, fresh, step
from tests.services import service, wait_until

TOKEN = "sesame"  # of services that live as long as the test
BY_HAND = {
    "task_type": "TRAINING",
    "function_name": "KMEANS",
    "state": "COMPLETED",
    "worker_node": ["n"],
    "create_time": 1,
    "last_update_time": 2,
    "is_async": True,
}


@pytest.fixture(scope="module")
def over_node(opensearch_url: str) -> Iterator[str]:
    """The address of a service over the embedded node with an emulator for it alone."""
    with service("--opensearch", opensearch_url, "--emulator-token", TOKEN) as running:
        yield running.url


@pytest.fixture(params=["memory", "memory shared", "embedded"])
def main(request: pytest.FixtureRequest) -> Iterator[Stand]:
    """The main namespace of a service of the test's own: alone, with a memory in the index, over a real node."""
    with contextlib.ExitStack() as stack:
        if request.param == "memory":
            yield Stand(stack.enter_context(running_service(opensearch="memory")).url)
        elif request.param == "embedded":
            stand = Stand(request.getfixturevalue("over_node"), token=TOKEN)
            yield stand
            stand.reset()
        else:
            node = stack.enter_context(Running(MemoryBackend()))
            yield Stand(
                stack.enter_context(running_service(opensearch=node.url, emulator_token=TOKEN)).url, token=TOKEN
            )


def indices(stand: Stand) -> set[str]:
    """Return the names of all indices there are."""
    return {it["index"] for it in stand.ok("GET", "/_cat/indices?format=json&expand_wildcards=all")}


def direct(stand: Stand, path: str) -> int:
    """Return what OpenSearch answers of a path."""
    return Client(stand.url).send("GET", path).status


def filled(stand: Stand) -> dict[str, str]:
    """Fill a namespace with all that can be there; return the tasks by what became of them."""
    made = {"real": stand.train()}
    assert stand.ended(made["real"])["state"] == "COMPLETED"
    stand.tell(step("EXPIRED"), name="a", times=1)
    stand.tell(step("RUNNING", 50), step("COMPLETED", model="played"), name="b", times=1)
    stand.tell(step("ABSENT", 50), step("COMPLETED"), name="c", times=1)
    stand.tell(step("COMPLETED"), name="d")
    for name in ("over", "playing", "absent", "trained"):
        made[name] = stand.train()
    assert [stand.state(made[name]) for name in ("over", "playing", "absent")] == ["EXPIRED", "RUNNING", "404"]
    assert stand.ended(made["trained"])["state"] == "COMPLETED"
    stand.ok("POST", f"{CONTROL}/faults", {"name": "f", "match": {"path": "/_cat/*"}, "effect": {"status": 503}})
    assert stand.send("GET", "/_cat/health").status == 503
    stand.ok("PUT", f"{CONTROL}/ids", {"seed": 3})
    stand.clock("_stop", body={"at": 1_000})
    return made


def is_empty(stand: Stand) -> None:
    """Hold that nothing is there of what the emulator was told."""
    assert stand.ok("GET", f"{CONTROL}/scenarios")["scenarios"] == []
    assert stand.ok("GET", f"{CONTROL}/faults")["faults"] == []
    assert stand.ok("GET", f"{CONTROL}/requests")["requests"] == []
    clock = stand.clock()
    assert (clock["stopped"], clock["offset_in_millis"]) == (False, 0)
    assert clock["now"] > 1_700_000_000_000


def test_a_reset_of_the_main_namespace_leaves_what_others_put_there(main: Stand) -> None:
    """Played and trained tasks go with their models; a document put in by hand and user indices stay."""
    client = Client(main.url)
    client.ok("PUT", "/kept/_doc/1?refresh=true", {"a": 1})
    made = filled(main)
    models = [main.task(made[name])["model_id"] for name in ("real", "trained")]
    main.ok("DELETE", f"{CONTROL}/faults")
    client.ok("PUT", "/.plugins-ml-task/_doc/by-hand?refresh=true", BY_HAND)
    client.ok("PUT", "/.plugins-ml-model/_doc/by-hand?refresh=true", {"name": "theirs", "algorithm": "KMEANS"})

    main.reset()

    is_empty(main)
    assert {name for name, task_id in made.items() if main.state(task_id) != "404"} == set()
    assert main.states() == {"by-hand": "COMPLETED"}
    assert [main.send("GET", f"{MODELS}/{model_id}").status for model_id in models] == [404, 404]
    assert client.send("GET", "/.plugins-ml-model/_doc/by-hand").status == 200
    assert client.ok("GET", "/kept/_count")["count"] == 1
    assert main.ended(main.train())["create_time"] > 1_000_000
    for path in ("/kept", "/.plugins-ml-task/_doc/by-hand", "/.plugins-ml-model/_doc/by-hand"):
        client.ok("DELETE", path)


def test_a_reset_of_another_namespace_takes_its_indices(main: Stand) -> None:
    """And none else; it works on as a new one."""
    stand, other = fresh(main.url, main.token), fresh(main.url, main.token)
    stand.ok("PUT", f"/kept-{stand.namespace}/_doc/1", {"a": 1})
    filled(stand)
    stand.ok("DELETE", f"{CONTROL}/faults")
    other.tell(step("EXPIRED"))
    theirs = other.train()
    inner = f".mlcommons-tasks-ns-{stand.namespace}-"

    stand.reset()

    is_empty(stand)
    assert not {name for name in indices(main) if name in (f"{inner}task", f"{inner}model")}
    assert stand.states() == {}
    assert other.state(theirs) == "EXPIRED"
    assert f"kept-{stand.namespace}" in indices(main)
    stand.tell(step("RUNNING", 1), step("COMPLETED"))
    assert stand.ended(stand.train())["state"] == "COMPLETED"
    for each in (stand, other):
        each.ok("DELETE", f"{CONTROL}/namespaces/{each.namespace}")
    main.ok("DELETE", f"/kept-{stand.namespace}")


def test_a_deleted_namespace_leaves_nothing(main: Stand) -> None:
    """No index, no name; work under way ends and brings nothing back."""
    stand = fresh(main.url, main.token)
    filled(stand)
    stand.train(body=long_body(30_000))  # real, by a scenario
    stand.ok("DELETE", f"{CONTROL}/scenarios")
    stand.train(body=long_body(30_000))  # real
    assert stand.namespace in names(main)

    main.ok("DELETE", f"{CONTROL}/namespaces/{stand.namespace}")

    inner = f".mlcommons-tasks-ns-{stand.namespace}-"
    assert stand.namespace not in names(main)
    assert not {name for name in indices(main) if name.startswith(inner)}
    quiet = main.train(body=long_body(30_000))  # as long as what was under way could take
    wait_until(lambda: main.state(quiet) in ("COMPLETED", "FAILED"), deadline_s=60.0)
    assert not {name for name in indices(main) if name.startswith(inner)}
    assert stand.states() == {}
    assert main.send("DELETE", f"{CONTROL}/namespaces/main").status == 400
    main.ok("DELETE", f"{CONTROL}/namespaces/never-used-{stand.namespace}")


def names(stand: Stand) -> set[str]:
    """Return the namespaces that there are."""
    return {it["name"] for it in stand.ok("GET", f"{CONTROL}/namespaces")["namespaces"]}


def test_one_scenario_is_reset(main: Stand) -> None:
    """Its tasks and models go and it begins anew; those of others stay, and so does real work."""
    main.tell(step("COMPLETED", model="played"), name="a", times=1)
    main.tell(step("RUNNING", 5), step("COMPLETED"), name="b", times=1)
    first, second, real = main.train(), main.train(), main.train()
    model = main.task(first)["model_id"]
    assert main.state(second) == "RUNNING"
    assert main.ended(real)["state"] == "COMPLETED"

    assert main.ok("POST", f"{CONTROL}/scenarios/a/_reset")["deleted_tasks"] == [first]
    assert [main.state(task_id) for task_id in (first, second, real)] == ["404", "RUNNING", "COMPLETED"]
    assert main.send("GET", f"{MODELS}/{model}").status == 404
    assert main.ok("GET", f"{CONTROL}/scenarios/a")["matched"] == 0
    assert main.ok("GET", f"{CONTROL}/scenarios/b")["matched"] == 1
    assert main.task(main.train())["model_id"] != model
    assert main.send("POST", f"{CONTROL}/scenarios/nope/_reset").status == 404
    main.reset()


def test_everything_is_reset_in_every_namespace(main: Stand) -> None:
    """By `?all=true`, and by nothing else."""
    stands = [main, fresh(main.url, main.token), fresh(main.url, main.token)]
    tasks = []
    for stand in stands:
        stand.tell(step("EXPIRED"))
        tasks.append(stand.train())

    assert stands[1].send("POST", f"{CONTROL}/_reset?all=perhaps").status == 400
    stands[1].ok("POST", f"{CONTROL}/_reset?all=false")
    assert [stand.state(task_id) for stand, task_id in zip(stands, tasks, strict=True)] == ["EXPIRED", "404", "EXPIRED"]
    stands[1].ok("POST", f"{CONTROL}/_reset?all=true")
    for stand, task_id in zip(stands, tasks, strict=True):
        is_empty(stand)
        assert stand.state(task_id) == "404"
    for stand in stands[1:]:
        main.ok("DELETE", f"{CONTROL}/namespaces/{stand.namespace}")


def test_a_reset_ends_what_is_under_way(main: Stand) -> None:
    """A training, real or played, is gone and does not come back with its end."""
    others = set(model_ids(main))
    real = main.train(body=long_body(30_000))
    main.tell(step("RUNNING", 1), step("COMPLETED"))
    played = main.train(body=long_body(30_000))

    main.reset()
    assert [main.state(task_id) for task_id in (real, played)] == ["404", "404"]
    later = main.train(body=long_body(30_000))  # ends after what was under way could
    assert main.ended(later)["state"] == "COMPLETED"
    wait_until(lambda: main.states() == {later: "COMPLETED"}, what="a search that shows it alone, and ended")
    assert set(model_ids(main)) - others == {main.task(later)["model_id"]}
    main.reset()


def test_a_model_that_was_trained_while_somebody_waited_goes_too(main: Stand) -> None:
    """There is no task of it."""
    others = set(model_ids(main))
    made = main.ok("POST", "/_plugins/_ml/_train/kmeans", SMALL)["model_id"]
    assert made in model_ids(main)

    main.reset()
    assert made not in model_ids(main)
    assert set(model_ids(main)) <= others


def test_a_model_that_a_task_does_not_show_yet_goes_with_it(main: Stand) -> None:
    """Its training is done, its scenario is not."""
    others = set(model_ids(main))
    main.clock("_stop")
    main.preset("slow", seconds=30)
    task_id = main.train()
    wait_until(lambda: set(model_ids(main)) - others, what="a model")
    assert main.state(task_id) == "RUNNING"

    main.reset()
    assert set(model_ids(main)) <= others


def model_ids(stand: Stand) -> list[str]:
    """Return the models that there are."""
    found = stand.send("POST", f"{MODELS}/_search", {"_source": ["name"], "size": 10_000})
    return [hit["_id"] for hit in found.body["hits"]["hits"]] if found.status == 200 else []


def test_a_model_of_somebody_else_stays(main: Stand) -> None:
    """Though a played task says that it is its own, or is about it."""
    client = Client(main.url)
    main.ended(main.train())
    client.ok("PUT", "/.plugins-ml-model/_doc/theirs?refresh=true", {"name": "theirs", "algorithm": "KMEANS"})
    main.tell(step("COMPLETED", model="played", model_id="theirs"))
    made = [main.train(), main.create(task_type="DEPLOY_MODEL", function_name="KMEANS", model_id="theirs")]
    assert [main.task(task_id)["model_id"] for task_id in made] == ["theirs", "theirs"]

    main.ok("POST", f"{CONTROL}/scenarios/s/_reset")
    main.reset()
    assert client.send("GET", "/.plugins-ml-model/_doc/theirs").status == 200
    client.ok("DELETE", "/.plugins-ml-model/_doc/theirs")
