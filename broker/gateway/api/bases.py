"""The URL that clients put before every path, as they are told when they log in."""

from broker.gateway.api.parts import Request


def base_url(request: Request, path: str) -> str:
    """What stands before *path*, the path of this request's route; without a slash behind.

    As the operator says, or as the request itself does: its Host, its scheme, or the one that a
    proxy in front was asked by, and whatever the client put before the path.
    """
    if request.parts.public_url:
        return request.parts.public_url.rstrip("/")
    before = request.rel_url.raw_path.rstrip("/").removesuffix(path)
    forwarded = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
    scheme = forwarded if forwarded in ("http", "https") else request.scheme
    return f"{scheme}://{request.host}{before}"
