"""The stored models: `.plugins-ml-model`. Never looks into a model's content."""

from __future__ import annotations

import opensearchpy

from mlcommons_tasks.model import MLModel
from mlcommons_tasks.store.connection import refused
from mlcommons_tasks.store.documents import (
    CREATE_DEADLINE_S,
    WRITE_DEADLINE_S,
    DocumentIndex,
    IndexedStore,
    new_document_id,
)
from mlcommons_tasks.store.mappings import MODEL_INDEX, model_index_body
from mlcommons_tasks.store.upstream import Upstream
from mlcommons_tasks.versions import CURRENT, Profile

CONTENT_FIELDS = ("content", "model_content")


class ModelStore(IndexedStore):
    """Models in OpenSearch."""

    def __init__(self, client: opensearchpy.OpenSearch, upstream: Upstream, profile: Profile = CURRENT) -> None:
        super().__init__(DocumentIndex(MODEL_INDEX, model_index_body(profile), client, upstream))

    def create(self, model: MLModel, *, patient: bool = False) -> str:
        """Store a new model; return its id. If `patient`, OpenSearch may be away for a while meanwhile."""
        model_id = new_document_id()
        deadline_s = WRITE_DEADLINE_S if patient else CREATE_DEADLINE_S
        self._documents.create(model_id, model.source(), deadline_s=deadline_s)
        return model_id

    def discard(self, model_id: str) -> None:
        """Delete a model that nobody shall see; it may be gone already.

        Raises:
            StoreUnavailable, UpstreamError: it is still there.
        """

        def delete() -> None:
            answer = self._documents.delete(model_id, {})
            if answer.status >= 400 and answer.status != 404:
                raise refused(answer)

        self._documents.until_it_counts(delete, deadline_s=WRITE_DEADLINE_S)

    def source(self, model_id: str, *, with_content: bool) -> bytes | None:
        """Return a model's stored source, or None if the model or the index is missing."""
        return self._documents.source(model_id, excludes=() if with_content else CONTENT_FIELDS)
