"""An event as the bytes of server-sent events, made once and written to many.

Source: the WHATWG HTML standard, section "Server-sent events".
"""

import re

_LINE_END = re.compile(rb"\r\n|\r|\n")

LAST_CHUNK = b"0\r\n\r\n"  # of HTTP/1.1's chunked coding
COMMENT = b":\n\n"  # keeps proxies and dead connections honest; clients ignore it


def frame(ident: str, kind: str, data: bytes) -> bytes:
    """One event. *data* comes out as it went in, but for line ends, which become line feeds."""
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (ident.encode(), kind.encode(), data)


def priming(ident: str, retry: int) -> bytes:
    """Where the stream resumes, before anything has happened; *retry* in milliseconds.

    A block with an id and no data sets the client's last id and dispatches nothing.
    """
    return b"retry: %d\nid: %b\n\n" % (retry, ident.encode())


def mark(ident: str) -> bytes:
    """Nothing happened up to here: moves the client's last id on, and dispatches nothing."""
    return b":\nid: %b\n\n" % ident.encode()


def retry(milliseconds: int) -> bytes:
    """How long the client is to wait before it connects again."""
    return b"retry: %d\n\n" % milliseconds


def chunk(data: bytes) -> bytes:
    """*data* (not empty) as one chunk of HTTP/1.1's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)
