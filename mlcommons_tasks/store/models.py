"""The stored models: `.plugins-ml-model`. Never looks into a model's content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import opensearchpy

from mlcommons_tasks.model import MLModel
from mlcommons_tasks.store.documents import CREATE_DEADLINE_S, WRITE_DEADLINE_S, DocumentIndex, new_document_id
from mlcommons_tasks.store.mappings import MODEL_INDEX, model_index_body
from mlcommons_tasks.store.upstream import Reply, Upstream
from mlcommons_tasks.versions import CURRENT, Profile

CONTENT_FIELDS = ("content", "model_content")


class ModelStore:
    """Models in OpenSearch."""

    def __init__(self, client: opensearchpy.OpenSearch, upstream: Upstream, profile: Profile = CURRENT) -> None:
        self._documents = DocumentIndex(MODEL_INDEX, model_index_body(profile), client, upstream)

    def create(self, model: MLModel, *, patient: bool = False) -> str:
        """Store a new model; return its id. If `patient`, OpenSearch may be away for a while meanwhile."""
        model_id = new_document_id()
        deadline_s = WRITE_DEADLINE_S if patient else CREATE_DEADLINE_S
        self._documents.create(model_id, model.source(), deadline_s=deadline_s)
        return model_id

    def close(self) -> None:
        """Give up on writes that OpenSearch does not take at once."""
        self._documents.close()

    def source(self, model_id: str, *, with_content: bool) -> bytes | None:
        """Return a model's stored source, or None if the model or the index is missing."""
        return self._documents.source(model_id, excludes=() if with_content else CONTENT_FIELDS)

    def index_exists(self) -> bool:
        """Say whether any model was ever stored."""
        return self._documents.exists()

    def delete(self, model_id: str, query: Mapping[str, str]) -> Reply:
        """Delete a model; return OpenSearch's answer."""
        return self._documents.delete(model_id, query)

    def search(
        self, payload: bytes, query: Mapping[str, str], headers: Iterable[tuple[str, str]], *, nothing: bool = False
    ) -> Reply:
        """Search the models, or with `nothing` no index at all; return OpenSearch's answer."""
        return self._documents.search(payload, query, headers, nothing=nothing)

    def search_point_in_time(
        self, payload: bytes, query: Mapping[str, str], headers: Iterable[tuple[str, str]]
    ) -> Reply:
        """Run a search whose body names a point in time, with the rights of `headers`; return OpenSearch's answer."""
        return self._documents.search_point_in_time(payload, query, headers)
