"""An identity provider of a test: discovery document, keys and ID tokens, over TLS."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from scorer.service.settings import OidcSettings
from tests.serving import serving

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
CLIENT = "qscore"


@dataclass
class LocalIssuer:
    """Its keys by name, and what it answers; ``asked``: paths that were fetched. ``down``: whether it answers 503."""

    url: str
    ca_file: Path
    keys: dict[str, PrivateKey] = field(default_factory=dict)
    extra: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    down: bool = False
    name: str = ""

    def settings(self, **changed: Any) -> OidcSettings:
        """The settings of a gateway that trusts it."""
        given = {"issuer": self.url, "client_id": CLIENT, "ca_file": self.ca_file}
        return OidcSettings.model_validate(given | changed)

    def token(self, kid: str = "one", algorithm: str = "", **claims: Any) -> str:
        """An ID token for now, with some claims changed; those that are None are left out."""
        now = int(time.time())
        said = {"iss": self.url, "aud": CLIENT, "sub": "eve", "iat": now, "exp": now + 300, "groups": ["soc", "staff"]}
        kept = {name: value for name, value in (said | claims).items() if value is not None}
        key = self.keys[kid]
        chosen = algorithm or ("ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256")
        return jwt.encode(kept, key, chosen, {"kid": kid})

    def answer(self, path: str) -> object:
        """What it answers to a path."""
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.name or self.url, "jwks_uri": f"{self.url}/keys", "token_endpoint": "https://t"}
        return {"keys": [*(_public(kid, key) for kid, key in self.keys.items()), *self.extra]}


def _public(kid: str, key: PrivateKey) -> dict[str, Any]:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid, "use": "sig"}
    return RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid, "use": "sig", "alg": "RS256"}


@contextmanager
def local_issuer(folder: Path) -> Iterator[LocalIssuer]:
    """Serve a provider with one elliptic key, named ``one``, for the time of the block."""
    authority, ca = trustme.CA(), folder / "issuer_ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server's name
            issuer.asked.append(self.path)
            content = json.dumps(issuer.answer(self.path)).encode()
            self.send_response(503 if issuer.down else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with serving(Handler, context) as port:
        issuer = LocalIssuer(f"https://localhost:{port}", ca)
        issuer.keys["one"] = ec.generate_private_key(ec.SECP256R1())
        yield issuer
