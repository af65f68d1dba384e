"""An index whose mapping is of an older version is brought up, once in the life of a process, as the plugin does it.

Source: ml-commons 3.6.0 `MLIndicesHandler.initIndexWithoutThreadContext` and `shouldUpdateIndex`, and what a node with
the plugin was seen to do (`tests/upgrade_recorder.py`). Knows no documents.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from typing import Any

import opensearchpy

from mlcommons_tasks.errors import IndexNotFound
from mlcommons_tasks.store.connection import translated

NO_VERSION = 0  #: `CommonValue.NO_SCHEMA_VERSION`
LARGEST_INT = 2**31 - 1


class IndexUpgrade:
    """Whether an index was looked at, and what is done when it was not."""

    def __init__(self, name: str, body: Mapping[str, Any], client: opensearchpy.OpenSearch) -> None:
        self._name = name
        self._body = body
        self._client = client
        self._lock = threading.Lock()
        self._done = schema_version(body.get("mappings", {})) == NO_VERSION  # as before 2.3, which has no versions

    def run(self) -> None:
        """Bring the index up if its mapping is older than ours; costs nothing once that is known.

        A mapping that is as old or newer stays as it is, whatever it lacks. A failure is not remembered: the next
        call tries again.

        Raises:
            UpstreamError: a field has another type there: what OpenSearch says of it.
            StoreUnavailable: OpenSearch cannot be reached.
        """
        if self._done:
            return
        with self._lock, contextlib.suppress(IndexNotFound):  # deleted meanwhile; whoever writes makes it anew
            if not self._done:
                bring_up(self._client, self._name, self._body)
                self._done = True


def bring_up(client: opensearchpy.OpenSearch, name: str, body: Mapping[str, Any]) -> None:
    """Put the mapping of `body` on an index that has an older one, and then the setting that can still be changed.

    One that was made without a mapping stays as it is, as with the plugin: OpenSearch guesses one from its first
    document. One that was made with an empty mapping has an older one.

    Raises:
        IndexNotFound: it is not there.
        UpstreamError, StoreUnavailable: it could not be done.
    """
    with translated():
        found = client.indices.get_mapping(index=name).get(name)
        if found is None or schema_version(found["mappings"]) >= schema_version(body["mappings"]):
            return
        if not found["mappings"] and not _has_mapping(client, name):
            return
        client.indices.put_mapping(index=name, body=dict(body["mappings"]))
        replicas = body["settings"]["index"]["auto_expand_replicas"]
        client.indices.put_settings(index=name, body={"index": {"auto_expand_replicas": replicas}})


def _has_mapping(client: opensearchpy.OpenSearch, name: str) -> bool:
    """Say whether an index was made with a mapping, if only an empty one; what `_mapping` gives does not tell."""
    state = client.cluster.state(metric="metadata", index=name)
    return any(each.get("mappings") for each in state.get("metadata", {}).get("indices", {}).values())


def schema_version(mappings: Mapping[str, Any]) -> int:
    """Return `_meta.schema_version` of a mapping, 0 where there is none that Java reads as an Integer."""
    meta = mappings.get("_meta")
    version = meta.get("schema_version") if isinstance(meta, Mapping) else None
    return version if type(version) is int and -LARGEST_INT - 1 <= version <= LARGEST_INT else NO_VERSION
