"""ML Commons' cluster settings where the cluster has no plugin to keep them: one document in an index of our own.

Every change is of the whole document and compares with what it was read as: of two replicas none loses the other's.
Transient settings are lost with the cluster's own, when all nodes that may be its manager were stopped at once. So the
document says which of them ran when it was written; while one of these still runs, there was no such stop.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import opensearchpy
from elasticsearch_dsl import Mapping as IndexMapping
from elasticsearch_dsl import Object

from mlcommons_tasks.errors import TaskPluginError, UpstreamError
from mlcommons_tasks.store.batches import Written
from mlcommons_tasks.store.connection import SPREAD, translated, until_it_counts
from mlcommons_tasks.store.documents import CREATE_DEADLINE_S, DocumentIndex
from mlcommons_tasks.store.mappings import SETTINGS_INDEX, hidden_index_body
from mlcommons_tasks.store.upstream import Upstream
from mlcommons_tasks.wire.settings import Settings, Value

log = logging.getLogger(__name__)

DOCUMENT = "cluster"
CONFLICT = 409


@dataclass(frozen=True)
class StoredSettings:
    """The settings by scope."""

    persistent: Settings = field(default_factory=dict)
    transient: Settings = field(default_factory=dict)

    @property
    def effective(self) -> dict[str, Value]:
        """What counts: a transient one wins."""
        return {**self.persistent, **self.transient}


def settings_index_body() -> dict[str, Any]:
    """Return the body that creates the index."""
    mapping = IndexMapping()
    for name in ("persistent", "transient", "runs"):
        mapping.field(name, Object(enabled=False))
    return hidden_index_body(mapping)


class SettingsStore:
    """The document.

    `manager_runs` says which nodes that may be the cluster's manager run, each start of one by another name.
    """

    def __init__(
        self, client: opensearchpy.OpenSearch, upstream: Upstream, manager_runs: Callable[[], frozenset[str]]
    ) -> None:
        self._client = client
        self._documents = DocumentIndex(SETTINGS_INDEX, settings_index_body(), client, upstream)
        self._manager_runs = manager_runs

    def read(self) -> StoredSettings:
        """Return what is set.

        Raises:
            StoreUnavailable, UpstreamError: it could not be read.
        """
        found = self._documents.find(DOCUMENT)
        if found is None:
            return StoredSettings()
        source, position = found
        stored, runs = _stored(source), frozenset(source.get("runs", ()))
        if not stored.transient:
            return stored
        now = self._manager_runs()
        if _all_stopped(runs, now):
            return StoredSettings(stored.persistent)
        if now and now != runs:
            with contextlib.suppress(TaskPluginError):  # somebody else did, or the next reader will
                self._write(stored, now, position)
        return stored

    def change(self, change: Callable[[StoredSettings], StoredSettings]) -> tuple[StoredSettings, StoredSettings]:
        """Replace the settings by what `change` makes of them; return those before and after.

        It may be asked more than once, when another replica writes at the same time or an answer is lost.

        Raises:
            StoreUnavailable, UpstreamError: nothing is known to be stored.
        """
        until = time.monotonic() + CREATE_DEADLINE_S
        while True:
            try:
                return until_it_counts(lambda: self._changed(change), deadline_s=until - time.monotonic())
            except UpstreamError as error:
                if error.status != CONFLICT or time.monotonic() > until:
                    raise
            time.sleep(SPREAD.uniform(0.001, 0.02))  # of repeats

    def _changed(self, change: Callable[[StoredSettings], StoredSettings]) -> tuple[StoredSettings, StoredSettings]:
        found = self._documents.find(DOCUMENT)
        before = StoredSettings()
        runs = self._manager_runs()
        if found is not None:
            before = _stored(found[0])
            if before.transient and _all_stopped(frozenset(found[0].get("runs", ())), runs):
                before = StoredSettings(before.persistent)
        after = change(before)
        if found is None or after != _stored(found[0]):
            self._write(after, runs, found[1] if found else None)
        return before, after

    def _write(self, settings: StoredSettings, runs: frozenset[str], position: Written | None) -> None:
        body = {
            "persistent": _pairs(settings.persistent),
            "transient": _pairs(settings.transient),
            "runs": sorted(runs) if settings.transient else [],
        }
        if position is None:
            self._documents.ensure()
            expected = {"op_type": "create"}
        else:
            expected = {"if_seq_no": str(position.seq_no), "if_primary_term": str(position.primary_term)}
        with translated():
            self._client.index(index=SETTINGS_INDEX, id=DOCUMENT, body=body, params=expected)


def _all_stopped(runs: frozenset[str], now: frozenset[str]) -> bool:
    """Say whether none of the nodes runs that did; where none is known, none stopped."""
    return bool(runs and now) and not runs & now


def _stored(source: Mapping[str, Any]) -> StoredSettings:
    return StoredSettings(_settings(source, "persistent"), _settings(source, "transient"))


def _settings(source: Mapping[str, Any], scope: str) -> dict[str, Value]:
    return {pair["key"]: pair["value"] for pair in source.get(scope, ())}


def _pairs(settings: Settings) -> list[dict[str, Any]]:
    """Return settings as pairs: a name with dots would lead into objects."""
    return [{"key": key, "value": value} for key, value in sorted(settings.items())]


class PluginSettings:
    """The settings of a cluster that has the plugin, as the cluster itself keeps them."""

    def __init__(self, client: opensearchpy.OpenSearch) -> None:
        self._client = client
        self._told = False

    def read(self) -> dict[str, Value]:
        """Return what counts, defaults too; nothing where the service's account may not look.

        Raises:
            StoreUnavailable, UpstreamError: it could not be read.
        """
        params = {"include_defaults": "true", "flat_settings": "true", "filter_path": r"*.plugins\.ml_commons\.*"}
        try:
            with translated():
                found = self._client.cluster.get_settings(params=params)
        except UpstreamError as error:
            if error.status not in (401, 403):
                raise
            if not self._told:
                log.warning("the service's account may not read plugins.ml_commons.* settings: %s", error.reason)
            self._told = True
            return {}
        return {**found.get("defaults", {}), **found.get("persistent", {}), **found.get("transient", {})}
