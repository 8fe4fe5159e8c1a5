"""The description as JSON, and a page that shows it and can try it out: no file of it comes from elsewhere.

A browser asks for the page's key by a name and a password: the password is the key, the name may be anything.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

from flask import Flask, Response, jsonify, request, send_from_directory

from scorer.service.gateway.contract.document import openapi

#: Swagger UI (Apache-2.0) as flask-openapi3-swagger packs it; its Python part is not imported.
_PACKED = "flask-openapi3-swagger"
_ASSETS = "flask_openapi3_swagger/templates/swagger"
#: Scripts, styles and answers of this gateway alone; the page's own few lines are a file beside them.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: What makes a browser ask.
_CHALLENGE = 'Basic realm="qscore: any name, and a key that may read as the password", charset="UTF-8"'
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>qscore gateway</title><link rel="stylesheet" href="docs/css/swagger-ui.css"></head>
<body><div id="gateway"></div><script src="docs/js/swagger-ui-bundle.js"></script><script src="docs/start.js"></script>
</body>
</html>
"""
_START = 'SwaggerUIBundle({url: "docs/openapi.json", dom_id: "#gateway", deepLinking: true, validatorUrl: null});\n'

#: Raises Unauthorised or Forbidden unless the Authorization header that it is given may use the scope.
Allow = Callable[[str | None, str], object]


def add_contract_routes(app: Flask, allow: Allow) -> None:
    """Serve the description at /v1/openapi.json and the page at /docs, both to keys that may read."""

    @app.get("/v1/openapi.json")
    def openapi_json() -> Response:
        allow(request.headers.get("Authorization"), "read")
        return jsonify(openapi())

    @app.get("/docs")
    def docs() -> Response:
        allow(_as_bearer(request.headers.get("Authorization")), "read")
        return Response(_PAGE, content_type="text/html; charset=utf-8")

    @app.get("/docs/<path:name>")
    def docs_file(name: str) -> Response:
        allow(_as_bearer(request.headers.get("Authorization")), "read")
        made = _MADE.get(name)
        return made() if made is not None else send_from_directory(_assets(), name, conditional=False)

    @app.after_request
    def guard(response: Response) -> Response:
        if request.endpoint in ("docs", "docs_file"):
            response.headers["Content-Security-Policy"] = _POLICY
            response.headers["Referrer-Policy"] = "no-referrer"
            if response.status_code == 401:
                response.headers["WWW-Authenticate"] = _CHALLENGE
        return response


#: Files of the page that are not packed. The description is here too: a browser sends the page's key no further.
_MADE: dict[str, Callable[[], Response]] = {
    "start.js": lambda: Response(_START, content_type="text/javascript; charset=utf-8"),
    "openapi.json": lambda: jsonify(openapi()),
}


def _as_bearer(authorization: str | None) -> str | None:
    """Read a browser's name and password as the bearer key that the password is; anything else stays as it is."""
    scheme, _, credentials = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        _, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:  # no base64, no ASCII, no UTF-8
        return authorization
    return f"Bearer {password}"


def _assets() -> Path:
    return Path(str(distribution(_PACKED).locate_file(_ASSETS)))
