"""The headers that say who asks, or for whom: an account's, the security plugin's, and those of proxies in front."""

from __future__ import annotations

#: Who asks, and for whom: the security plugin's own headers beside the account.
CALLER_HEADERS = ("Authorization", "securitytenant", "opendistro_security_impersonate_as")
#: How headers begin by which proxies say whose certificate they have seen, or for whom they speak.
IDENTITIES = (
    "x-proxy-",
    "x-forwarded-client-cert",
    "x-client-cert",
    "client-cert",
    "x-ssl-client",
    "ssl-client",
    "x-ssl-cert",
)
