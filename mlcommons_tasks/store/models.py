"""The stored models: `.plugins-ml-model`. Never looks into a model's content."""

from __future__ import annotations

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
from mlcommons_tasks.store.upstream import Upstream
from mlcommons_tasks.versions import CURRENT, Profile
from mlcommons_tasks.wire.model_content import StoredModel, no_model, read_for_prediction

CONTENT_FIELDS = ("content", "model_content")


class ModelStore(IndexedStore):
    """Models in OpenSearch."""

    def __init__(
        self,
        client: opensearchpy.OpenSearch,
        upstream: Upstream,
        profile: Profile = CURRENT,
        batches: Batches | None = None,
    ) -> None:
        self._profile = profile
        super().__init__(DocumentIndex(MODEL_INDEX, model_index_body(profile), client, upstream, batches))

    def new_id(self) -> str:
        """Return an id for a new model."""
        return new_document_id()

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
