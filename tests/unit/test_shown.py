"""Foreign text where people see it."""

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.shown import json_visible, on_one_line, visible
from schemas.events import EVENT_TYPES

PAGE = Path(__file__).resolve().parents[2] / "broker" / "gateway" / "web" / "index.html"
ANYTHING = st.text(st.characters(exclude_categories=()))  # halves of surrogate pairs, too
PREPENDED = {0x600, 0x601, 0x602, 0x603, 0x604, 0x605, 0x6DD, 0x890, 0x891, 0x8E2}  # signs with ink


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, größer, 量子, 🙂", "plain, größer, 量子, 🙂"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b31m", r"\x9b31m"),
        ("bell \a, delete \x7f", r"bell \x07, delete \x7f"),
        ("half a line\rover it", r"half a line\rover it"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2066isolated\u2069", r"\u2066isolated\u2069"),
        ("a\u200bb", r"a\u200bb"),
        ("a\u2028b", r"a\u2028b"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("a\n\tb", "a\n\tb"),
    ],
)
def test_a_character_that_is_no_ink_is_shown_by_its_number(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_text_on_one_line_has_no_line_ends_and_no_tabs() -> None:
    assert on_one_line("a\n\tb\r\n") == r"a\n\tb\r\n"


def test_no_character_that_controls_or_formats_is_left() -> None:
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            left = {"\n", "\t"} | {chr(sign) for sign in PREPENDED}
            assert (visible(character) == character) is (character in left), hex(code)


def test_the_web_page_puts_text_in_as_text_only() -> None:
    text = PAGE.read_text()

    assert "textContent" in text
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|ContextualFragment|srcdoc|eval\(",
        text,
    )


@given(ANYTHING)
def test_what_is_shown_once_is_shown_as_it_is(text: str) -> None:
    assert visible(visible(text)) == visible(text)
    assert on_one_line(on_one_line(text)) == on_one_line(text)


@given(ANYTHING)
def test_json_means_the_same_when_it_is_made_visible(text: str) -> None:
    for indent in (None, 2):
        shown = json_visible(json.dumps({text: [text]}, ensure_ascii=False, indent=indent))

        assert json.loads(shown) == {text: [text]}
        assert visible(shown) == shown


def test_the_page_listens_for_every_kind_of_event() -> None:
    listed = PAGE.read_text().partition("const KINDS = [")[2].partition("]")[0]

    kinds = {kind.__struct_config__.tag for kind in EVENT_TYPES}
    assert set(re.findall(r'"(\w+)"', listed)) >= kinds
