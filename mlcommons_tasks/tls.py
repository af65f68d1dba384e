"""Certificates: how OpenSearch's is verified, which ones are shown to it and to callers. Knows no connection."""

from __future__ import annotations

import ssl
from pathlib import Path

from mlcommons_tasks.errors import StartError


def client_context(
    ca_file: Path | None, client_cert: Path | None, client_key: Path | None, *, insecure: bool
) -> ssl.SSLContext:
    """Return how to speak to an OpenSearch: its certificate and its name are verified unless that is `insecure`.

    Raises:
        StartError: a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:
        hint = "Name a file of certificates in PEM with --ca-file."
        raise StartError(f"the CA file {ca_file} cannot be used: {error.strerror or error}", hint=hint) from error
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client_cert is not None:
        _load(context, client_cert, client_key, "--client-cert", "--client-key")
    return context


def server_context(cert: Path, key: Path | None) -> ssl.SSLContext:
    """Return how to speak to callers.

    Raises:
        StartError: a file cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load(context, cert, key, "--cert", "--key")
    return context


def _load(context: ssl.SSLContext, cert: Path, key: Path | None, cert_flag: str, key_flag: str) -> None:
    def no_password() -> str:  # OpenSSL would ask on the terminal
        raise StartError(
            f"the key of {cert} is encrypted", hint=f"Give {key_flag} a key in PEM that needs no password."
        )

    try:
        context.load_cert_chain(cert, key, password=no_password)
    except OSError as error:  # ssl.SSLError is one
        files = f"{cert} and {key}" if key else f"{cert}"
        raise StartError(
            f"the certificate and key in {files} cannot be used: {error.strerror or error}",
            hint=f"Give {cert_flag} a certificate in PEM, with those between it and its authority, and {key_flag} its"
            " key; the key may stand in the certificate's file.",
        ) from error
