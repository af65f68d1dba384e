"""The task API of the OpenSearch ML Commons plugin, emulated over a real OpenSearch."""

from __future__ import annotations

from mlcommons_tasks._version import __version__

__all__ = ["__version__"]
