"""What OpenSearch says of a search that the plugin's own does not say. Pure.

The plugin's indices are system indices, whose segments OpenSearch 3.6.0 searches one after the other; those of other
indices it may search side by side, and then calls a search ended early when it only counted without looking at hits.
"""

from __future__ import annotations

import re

#: `terminated_early` with what parts it from its neighbours: in JSON, in pretty JSON, in YAML, in CBOR.
_EARLY = re.compile(
    rb'"terminated_early":true,|,?"terminated_early":true'
    rb'|\n  "terminated_early" : true,|,?\n  "terminated_early" : true'
    rb"|terminated_early: true\n|\x70terminated_early\xf5"
)
HEAD_LENGTH = 300  #: bytes within which it stands


def without_early_end(payload: bytes) -> bytes:
    """Return an answer without `terminated_early`; for a search that said nothing of when to end."""
    return _EARLY.sub(b"", payload[:HEAD_LENGTH], count=1) + payload[HEAD_LENGTH:]
