"""The pages for people: the dashboard, and Swagger UI over the API's description."""

import asyncio
import importlib.util
from functools import cache
from importlib import resources
from pathlib import Path

from aiohttp import web

from broker.gateway.api.parts import Request, nothing_at

ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
}
FOREVER = {"Cache-Control": "public, max-age=86400"}
ONLY_OURS = {  # the pages load nothing from elsewhere, and nobody frames them
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Quantum job broker: HTTP API</title>
<link rel="icon" href="/favicon.svg">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui", deepLinking: true,
                 validatorUrl: null, tryItOutEnabled: true});
</script>
</body>
</html>
"""


async def page(request: Request) -> web.Response:
    """GET /docs."""
    return web.Response(text=_PAGE, content_type="text/html", headers=ONLY_OURS)


async def asset(request: Request) -> web.Response:
    """GET /docs/{asset}: what Swagger UI is made of."""
    name = request.names["asset"]
    if name not in ASSETS:
        raise nothing_at(request)
    body = await asyncio.to_thread(_asset, name)
    return web.Response(body=body, content_type=ASSETS[name], charset="utf-8", headers=FOREVER)


@cache
def _asset(name: str) -> bytes:
    """A file of the installed package, which need not be imported for that."""
    found = importlib.util.find_spec("swagger_ui")
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "static" / name).read_bytes()


async def dashboard(request: Request) -> web.Response:
    """GET /."""
    return web.Response(text=_web("index.html"), content_type="text/html", headers=ONLY_OURS)


async def icon(request: Request) -> web.Response:
    """GET /favicon.svg."""
    return web.Response(text=_web("favicon.svg"), content_type="image/svg+xml", headers=FOREVER)


@cache
def _web(name: str) -> str:
    return resources.files("broker.gateway").joinpath("web", name).read_text("utf-8")
