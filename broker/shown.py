"""What may be shown: foreign text without what drives a terminal, URLs without their secrets."""

import re

# Control characters, and such as show nothing or rearrange what stands around them: marks of
# direction, breaks of lines and words, fillers, tags, halves of surrogate pairs.
_HIDDEN = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u070f\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U00013438\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
_ANY = re.compile(f"[{_HIDDEN}]")
_BUT_LINES = re.compile(f"(?![\n\t])[{_HIDDEN}]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}

_HOST = r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_URL = re.compile(
    rf"([A-Za-z][A-Za-z0-9+.-]*://)?([^/?#@\s]*@)?({_HOST}(?:,{_HOST})*)?(/[\w./~%+-]*)?"
    r"(\?[^#@\s]*)?(#[^@\s]*)?"
)
_FILE = re.compile(r"(sqlite|file):///(?![^?#]*:[^?#]*@)[^?#]*", re.DOTALL)
_PATH = re.compile(r"(?:(?:~|\.{0,2}/)(?!/)[^:?#=&]*|[^:@?#=&]*)", re.DOTALL)  # or a mere word
_SCHEME = re.compile(r"(kafkas?|sqlite|memory|file|s3a?|gs|az|azure|abfss?|https?):(//)?", re.I)
_HIDE = "***"


def visible(text: str) -> str:
    """*text* with lines and tabs as they are, and `\\x1b` for what else is a control character."""
    return _BUT_LINES.sub(_escape, text)


def on_one_line(text: str) -> str:
    """*text* on one line, with `\\n` for a line's end."""
    return _ANY.sub(_escape, text)


def json_visible(text: str) -> str:
    """*text*, which is JSON, with the same meaning and without such characters."""
    return _BUT_LINES.sub(_json_escape, text)


def url_visible(url: str) -> str:
    """*url* without what may be secret in it: user, password, query and fragment.

    Of what is not written as a URL is, nobody can say where its password ends: at most its scheme
    is shown.
    """
    if _FILE.fullmatch(url) or _PATH.fullmatch(url):
        return url
    if (found := _URL.fullmatch(url)) is None:
        known = _SCHEME.match(url)
        return (known[0] if known else "") + _HIDE
    scheme, who, hosts, path, query, fragment = (part or "" for part in found.groups())
    hidden = [
        _HIDE + "@" if who else "",
        "?" + _HIDE if query else "",
        "#" + _HIDE if fragment else "",
    ]
    return f"{scheme}{hidden[0]}{hosts}{path}{hidden[1]}{hidden[2]}"


def without_urls(text: str) -> str:
    """The first line of *text*, in which a library may quote a URL, with `…` for each."""
    return re.sub(r"[\w+.-]+://\S*", "…", text.partition("\n")[0])


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if found[0] in _SHORT:
        return _SHORT[found[0]]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def place(host: str, port: int) -> str:
    """Host and port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
