"""The formats that OpenSearch reads and writes, and how a header or a parameter names them. Pure.

Source: OpenSearch 3.6.0 `MediaTypeRegistry`, `RestRequest.parseContentType`, `AbstractRestChannel`; asked of a node.
"""

from __future__ import annotations

import re
from enum import Enum

from mlcommons_tasks.errors import IllegalArgument

_PART = re.compile(r"[A-z0-9!#$%&'*+\-.^_`|~]+")  # `A-z` is theirs: it has six more characters
_PREFIXES = ("application/", "application/vnd.opensearch+")


class MediaType(Enum):
    """A format; its value is the Content-Type of a reply in it."""

    JSON = "application/json; charset=UTF-8"
    YAML = "application/yaml"
    CBOR = "application/cbor"
    SMILE = "application/smile"


_BY_NAME = {f"{prefix}{kind.name.lower()}": kind for kind in MediaType for prefix in _PREFIXES}
_BY_NAME |= {"application/*": MediaType.JSON, "application/x-ndjson": MediaType.JSON}


def of_format(name: str | None) -> MediaType | None:
    """Return what `?format=` names, None if that is nothing OpenSearch knows."""
    return MediaType.__members__.get((name or "").upper())


def of_media_type(name: str | None) -> MediaType | None:
    """Return what a media type names, None if that is nothing OpenSearch knows; a list of types is no type."""
    return _BY_NAME.get((name or "").partition(";")[0].strip().lower())


def of_content_type(header: str | None) -> MediaType | None:
    """Return the format of a body, None if it is not said or none that can be read.

    Raises:
        IllegalArgument: the header is no media type.
    """
    if header is None:
        return None
    kind = re.split(r"[ \t]*;", header)[0]
    if not kind and header:
        raise IllegalArgument("empty Content-Type header")
    parts = kind.split("/")
    if len(parts) != 2 or not _PART.fullmatch(parts[0]) or not _PART.fullmatch(parts[1].strip()):
        raise IllegalArgument(f"invalid Content-Type header [{header}]")
    return of_media_type(kind)


def of_reply(format_parameter: str | None, accept: str | None, body: MediaType | None) -> MediaType:
    """Return the format of a reply: `?format=` comes before `Accept`, and that before the format of the body."""
    return of_format(format_parameter) or of_media_type(accept) or body or MediaType.JSON
