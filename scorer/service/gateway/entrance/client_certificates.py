"""Client certificates at the gateway's TLS: whether they are asked for, and whose are accepted."""

from __future__ import annotations

import ssl
from pathlib import Path

from scorer.service.settings import GatewaySettings
from scorer.wire.errors import ConfigurationError


def ask_for_certificates(context: ssl.SSLContext, gateway: GatewaySettings, own_authority: Path) -> None:
    """Have callers asked for a certificate where ``gateway.client_ca`` is set; required ones are needed by all of them.

    ``own_authority``: PEM of the local authority, which signs the certificate of the commands on this machine; it is
    trusted too where certificates are required. Raises ConfigurationError.
    """
    if gateway.client_ca is None:
        if gateway.client_certificates == "required":
            raise ConfigurationError(
                "gateway.client_certificates = 'required', and gateway.client_ca is not set",
                "Name the PEM file of the authority that signs the callers' certificates.",
            )
        return
    required = gateway.client_certificates == "required"
    try:
        context.load_verify_locations(gateway.client_ca.expanduser())
        if required:
            context.load_verify_locations(own_authority)
    except OSError as error:
        raise ConfigurationError(
            f"gateway.client_ca {gateway.client_ca} cannot be used: {error.strerror or error}",
            "Name the PEM file of the authority that signs the callers' certificates.",
        ) from None
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
