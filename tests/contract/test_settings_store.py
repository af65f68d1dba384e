"""ML Commons' settings as they are kept, and the nodes they choose from, over each OpenSearch."""

from __future__ import annotations

import threading

from mlcommons_tasks.store.mappings import SETTINGS_INDEX
from mlcommons_tasks.store.settings import SettingsStore, StoredSettings
from mlcommons_tasks.wire.settings import Value
from tests.contract.conftest import Stores

FIVE: dict[str, Value] = {"plugins.ml_commons.max_ml_task_per_node": "5"}
ROLES: dict[str, Value] = {"plugins.ml_commons.task_dispatcher.eligible_node_role.local_model": ["data", "ml"]}


def test_nothing_is_set_before_anything_was(stores: Stores) -> None:
    """Reading makes no index."""
    assert stores.settings.read() == StoredSettings()
    assert not stores.client.indices.exists(index=SETTINGS_INDEX)


def test_what_is_set_is_read(stores: Stores) -> None:
    """Both scopes come back, texts and lists, from a hidden index."""
    before, after = stores.settings.change(lambda _: StoredSettings(FIVE, ROLES))
    assert before == StoredSettings()
    assert stores.settings.read() == after == StoredSettings(FIVE, ROLES)
    assert after.effective == {**FIVE, **ROLES}


def test_a_reset_leaves_nothing(stores: Stores) -> None:
    """What is no longer set is not in the document."""
    stores.settings.change(lambda _: StoredSettings(FIVE, ROLES))
    stores.settings.change(lambda stored: StoredSettings(stored.persistent))
    assert stores.settings.read() == StoredSettings(FIVE)


def test_two_who_change_at_once_lose_nothing(stores: Stores) -> None:
    """Twelve writers add a setting each; all twelve are there."""

    def add(number: int) -> None:
        store = SettingsStore(stores.client, stores.upstream, lambda: stores.runs)
        store.change(lambda stored: StoredSettings({**stored.persistent, f"plugins.ml_commons.s{number}": "x"}))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores.settings.read().persistent) == 12


def test_transient_settings_end_with_the_cluster(stores: Stores) -> None:
    """While a node that may be manager runs on they stay, whoever joins; once all were stopped they are gone."""
    stores.settings.change(lambda _: StoredSettings(FIVE, ROLES))
    stores.runs = frozenset({"n1@1", "n2@1"})
    assert stores.settings.read().transient == ROLES
    stores.runs = frozenset({"n1@2", "n2@1"})
    assert stores.settings.read().transient == ROLES, "one after the other was restarted"
    stores.runs = frozenset({"n1@2", "n2@2"})
    assert stores.settings.read().transient == ROLES
    stores.runs = frozenset({"n1@3", "n2@3"})
    assert stores.settings.read() == StoredSettings(FIVE)
    stores.settings.change(lambda stored: stored)
    stores.runs = frozenset({"n1@2"})
    assert stores.settings.read() == StoredSettings(FIVE), "nothing brings them back"


def test_where_no_start_is_known_nothing_is_lost(stores: Stores) -> None:
    """A server that does not say since when it runs keeps them."""
    stores.settings.change(lambda _: StoredSettings({}, ROLES))
    stores.runs = frozenset()
    assert stores.settings.read().transient == ROLES


def test_the_nodes_of_the_cluster(stores: Stores) -> None:
    """Each has an id that the cluster lists, a name and roles; what they use is known where the server tells."""
    nodes = stores.nodes.all()
    assert [node.id for node in nodes] == sorted(stores.client.nodes.info()["nodes"])
    assert all(node.name and "data" in node.roles and node.box_type == "hot" for node in nodes)
    for node, usage in stores.nodes.usage().items():
        assert node in {each.id for each in nodes}
        assert 0 < usage.heap_percent <= 100
        assert usage.disk_free is not None
        assert usage.disk_free > 0
    assert stores.nodes.manager_runs() == stores.nodes.manager_runs()
