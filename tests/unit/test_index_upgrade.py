"""When an index is brought up to our mapping: which versions are older, and how often OpenSearch is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import opensearchpy
import pytest

from mlcommons_tasks.errors import IndexNotFound, UpstreamError
from mlcommons_tasks.store.index_upgrade import IndexUpgrade, bring_up, schema_version
from mlcommons_tasks.store.mappings import TASK_INDEX, task_index_body
from mlcommons_tasks.versions import profile_of

BODY = task_index_body()
OURS = schema_version(BODY["mappings"])


class Indices:
    """What opensearch-py has as `client.indices`, over one index; notes what is asked."""

    def __init__(self, mappings: Mapping[str, Any] | None) -> None:
        self.mappings = mappings
        self.settings: dict[str, Any] = {}
        self.asked: list[str] = []
        self.fits = True

    def get_mapping(self, *, index: str) -> dict[str, Any]:
        self.asked.append("get_mapping")
        if self.mappings is None:
            raise opensearchpy.NotFoundError(404, "x", {"error": {"type": IndexNotFound.type, "reason": "none"}})
        return {index: {"mappings": self.mappings}}

    def put_mapping(self, *, index: str, body: Mapping[str, Any]) -> None:
        self.asked.append("put_mapping")
        if not self.fits:
            reason = {"type": "illegal_argument_exception", "reason": "cannot be changed"}
            raise opensearchpy.RequestError(400, "x", {"error": reason, "status": 400})
        self.mappings = body

    def put_settings(self, *, index: str, body: Mapping[str, Any]) -> None:
        self.asked.append("put_settings")
        self.settings = dict(body["index"])


class Client:
    """As much of opensearch-py as is used."""

    def __init__(self, mappings: Mapping[str, Any] | None) -> None:
        self.indices = Indices(mappings)
        self.made_with: dict[str, Any] = {"_doc": {}}  #: what the cluster's state has as its mapping
        self.cluster = self

    def state(self, *, metric: str, index: str) -> dict[str, Any]:
        assert metric == "metadata"
        return {"metadata": {"indices": {index: {"mappings": self.made_with}}}}


def client_with(mappings: Mapping[str, Any] | None) -> Any:
    return Client(mappings)


@pytest.mark.parametrize(
    ("meta", "version"),
    [
        ({"schema_version": 4}, 4),
        ({"schema_version": -1}, -1),
        ({"schema_version": 2**31 - 1}, 2**31 - 1),
        ({"schema_version": 2**31}, 0),
        ({"schema_version": 4.0}, 0),
        ({"schema_version": "4"}, 0),
        ({"schema_version": True}, 0),
        ({"schema_version": None}, 0),
        ({}, 0),
        ([4], 0),
        (None, 0),
    ],
)
def test_a_version_is_what_java_reads_as_an_integer(meta: Any, version: int) -> None:
    """Anything else counts as no version, which is older than any."""
    assert schema_version({"_meta": meta}) == version


@pytest.mark.parametrize("version", [0, 1, OURS - 1])
def test_an_older_mapping_is_brought_up(version: int) -> None:
    """It gets our mapping, and replicas as we want them."""
    client = client_with({"_meta": {"schema_version": version}})

    bring_up(client, TASK_INDEX, BODY)

    assert client.indices.mappings == BODY["mappings"]
    assert client.indices.settings == {"auto_expand_replicas": "0-1"}


@pytest.mark.parametrize("version", [OURS, OURS + 1])
def test_a_mapping_as_new_as_ours_stays(version: int) -> None:
    """Whatever it lacks."""
    client = client_with({"_meta": {"schema_version": version}})

    bring_up(client, TASK_INDEX, BODY)

    assert client.indices.asked == ["get_mapping"]


def test_it_is_asked_once() -> None:
    """Every write calls it; OpenSearch hears of the first."""
    client = client_with({})
    upgrade = IndexUpgrade(TASK_INDEX, BODY, client)

    for _ in range(3):
        upgrade.run()

    assert client.indices.asked == ["get_mapping", "put_mapping", "put_settings"]


def test_an_index_that_was_made_without_a_mapping_is_left_alone() -> None:
    """OpenSearch guesses one from its first document, as it does beside the plugin."""
    client = client_with({})
    client.made_with = {}
    IndexUpgrade(TASK_INDEX, BODY, client).run()
    assert client.indices.asked == ["get_mapping"]


def test_a_failure_is_said_each_time() -> None:
    """A mapping that does not fit is not forgotten: the error is OpenSearch's, until somebody mends it."""
    client = client_with({})
    client.indices.fits = False
    upgrade = IndexUpgrade(TASK_INDEX, BODY, client)

    for _ in range(2):
        with pytest.raises(UpstreamError, match="cannot be changed"):
            upgrade.run()
    client.indices.fits = True
    upgrade.run()

    assert client.indices.mappings == BODY["mappings"]


def test_an_index_that_is_gone_is_left_to_the_write() -> None:
    """Who writes next makes it anew, and then it is looked at again."""
    client = client_with(None)
    upgrade = IndexUpgrade(TASK_INDEX, BODY, client)

    upgrade.run()
    client.indices.mappings = {"_meta": {"schema_version": 1}}
    upgrade.run()

    assert client.indices.mappings == BODY["mappings"]


def test_before_the_versions_nothing_is_brought_up() -> None:
    """ML Commons 1.3 to 2.2 has no version in its mappings, and never looks."""
    client = client_with({})

    IndexUpgrade(TASK_INDEX, task_index_body(profile_of("1.3")), client).run()

    assert client.indices.asked == []
