"""The stored models: `.plugins-ml-model`. Never looks into a model's content."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import opensearchpy

from mlcommons_tasks.model import MLModel
from mlcommons_tasks.store.batches import Batches
from mlcommons_tasks.store.connection import refused
from mlcommons_tasks.store.documents import (
    CREATE_DEADLINE_S,
    DocumentIndex,
    IndexedStore,
    new_document_id,
)
from mlcommons_tasks.store.mappings import MODEL_INDEX, model_index_body
from mlcommons_tasks.store.names import renamed
from mlcommons_tasks.store.upstream import Reply, Upstream
from mlcommons_tasks.versions import CURRENT, Profile
from mlcommons_tasks.wire.model_content import StoredModel, no_model, read_for_prediction

CONTROLLER_INDEX = ".plugins-ml-controller"
MOST_CHUNKS = 10_000  #: as many as a search may give, of 10 MB each
JSON_BODY = ("Content-Type", "application/json")
CONTENT_FIELDS = ("content", "model_content")


class ModelStore(IndexedStore):
    """Models in OpenSearch."""

    def __init__(
        self,
        client: opensearchpy.OpenSearch,
        upstream: Upstream,
        profile: Profile = CURRENT,
        batches: Batches | None = None,
        *,
        index: str = MODEL_INDEX,
        new_id: Callable[[], str] = new_document_id,
    ) -> None:
        self._profile = profile
        self._upstream = upstream
        self._index = index
        self._new_id = new_id
        super().__init__(DocumentIndex(index, model_index_body(profile), client, upstream, batches, MODEL_INDEX))

    def new_id(self) -> str:
        """Return an id for a new model."""
        return self._new_id()

    def create(self, model_id: str, model: MLModel, *, patient: bool = False) -> None:
        """Store a new model. If `patient`, OpenSearch may be away for as long as it likes meanwhile.

        Raises:
            StoreUnavailable, UpstreamError: it is not stored; status 409 if there is one with this id.
        """
        self._documents.create(model_id, model.source(), deadline_s=None if patient else CREATE_DEADLINE_S)

    def exists(self, model_id: str) -> bool:
        """Say whether a model is stored.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch does not say.
        """
        return self._documents.source(model_id, excludes=("*",)) is not None

    def discard(self, model_id: str) -> None:
        """Delete a model that nobody shall see; it may be gone already.

        Raises:
            StoreUnavailable, UpstreamError: it is still there, when the service stops.
        """

        def delete() -> None:
            answer = self._documents.delete(model_id, {})
            if answer.status >= 400 and answer.status != 404:
                raise refused(answer)

        self._documents.until_it_counts(delete, deadline_s=None)

    def load(self, model_id: str) -> StoredModel:
        """Return a stored model as a prediction reads it; the content's bytes are decoded when they are asked for.

        Raises:
            TaskPluginError: there is none, or the plugin cannot read it; its words, and status 404.
            StoreUnavailable, UpstreamError: OpenSearch does not say.
        """
        source = self.source(model_id, with_content=True)
        if source is None:
            raise no_model(None if self.index_exists() else MODEL_INDEX)
        return read_for_prediction(source, model_id, self._profile)

    def source(self, model_id: str, *, with_content: bool) -> bytes | None:
        """Return a model's stored source, or None if the model or the index is missing."""
        return self._documents.source(model_id, excludes=() if with_content else CONTENT_FIELDS)

    def change(self, model_id: str, changes: Mapping[str, Any], query: Mapping[str, str]) -> Reply:
        """Write some fields of a model over what is stored, objects into objects; return OpenSearch's answer."""
        target = f"/{self._index}/_update/{quote(model_id, safe='')}?" + urlencode({"refresh": "true", **query})
        return self._own("POST", target, {"doc": changes})

    def clean_up(self, model_id: str, *, chunks: bool) -> None:
        """Delete what belongs to a model that was deleted: its `chunks`, its controller; searches see it later.

        Raises:
            StoreUnavailable, UpstreamError: some of it may be left.
        """
        for chunk in self._chunks_of(model_id) if chunks else ():
            self._gone(self._index, chunk)
        self._gone(CONTROLLER_INDEX, model_id)

    def _chunks_of(self, model_id: str) -> list[str]:
        others = {"bool": {"must": [{"term": {"model_id": model_id}}], "must_not": [{"term": {"_id": model_id}}]}}
        body = {"query": others, "size": MOST_CHUNKS, "_source": False}
        answer = self._own("POST", f"/{self._index}/_search?ignore_unavailable=true", body)
        if answer.status >= 400:
            raise refused(answer)
        return [hit["_id"] for hit in json.loads(answer.payload)["hits"]["hits"]]

    def _gone(self, index: str, document_id: str) -> None:
        answer = self._own("DELETE", f"/{index}/_doc/{quote(document_id, safe='')}")
        # a controller is none of ours: where nobody lets us see that index, we have not left one there
        if answer.status >= 400 and answer.status not in (404, 403 if index == CONTROLLER_INDEX else 404):
            raise refused(answer)

    def _own(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> Reply:
        headers = list(self._upstream.endpoint.authorization.items())
        if body is None:
            answer = self._upstream.request(method, target, headers)
        else:
            answer = self._upstream.request(method, target, [*headers, JSON_BODY], json.dumps(body).encode())
        return renamed(answer, {self._index: MODEL_INDEX}) if self._index != MODEL_INDEX else answer
