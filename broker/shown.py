"""What may be shown: foreign text without what drives a terminal."""

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


def visible(text: str) -> str:
    """*text* with lines and tabs as they are, and `\\x1b` for what else is a control character."""
    return _BUT_LINES.sub(_escape, text)


def on_one_line(text: str) -> str:
    """*text* on one line, with `\\n` for a line's end."""
    return _ANY.sub(_escape, text)


def json_visible(text: str) -> str:
    """*text*, which is JSON, with the same meaning and without such characters."""
    return _BUT_LINES.sub(_json_escape, text)


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
