"""Contents that no algorithm's model can have."""

from __future__ import annotations

#: Nothing, a pickle, no object, and one that is nested too deeply to be read.
NO_OBJECTS = (b"", b"\x80\x04\x95cos\nsystem\n", b"[]", b"[" * 100_000)
