"""Foreign text cannot control the terminal, in a table, a record or a message."""

from __future__ import annotations

import io
import json

import pytest

from apimetry.cli.output import note, one_line, print_record, print_rows, printable, say, warn

HOSTILE = ["\x1b[2J", "\x1b]0;title\x07", "\x9b2J", "\r", "\b", "\x7f", "\u202e", "\ud800", "\x00"]


@pytest.mark.parametrize("text", HOSTILE)
def test_control_characters_are_not_printed(capsys, text):
    print_rows([{"name": f"a{text}b"}], ["name"], as_json=False)
    print_record({"name": f"a{text}b", "more": [f"a{text}b"]}, as_json=False)
    say(f"a{text}b")
    note(f"a{text}b")
    warn(f"a{text}b")
    captured = capsys.readouterr()
    assert text not in captured.out
    assert text not in captured.err
    # Without a terminal, click itself removes some of the characters.
    assert text not in printable(text)
    assert text not in one_line(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_json_keeps_the_text_and_escapes_it(capsys, text):
    print_rows([{"name": text}], ["name"], as_json=True)
    shown = capsys.readouterr().out
    assert json.loads(shown) == [{"name": text}]
    assert text == "\x7f" or text not in shown


def test_line_breaks_stay_where_text_may_have_them():
    assert printable("a\n\tb") == "a\n\tb"
    assert one_line("a\n\tb") == "a��b"


def test_letters_of_every_script_stay():
    assert one_line("Zürich 東京 🙂") == "Zürich 東京 🙂"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("columns", "printed"),
    [("20", "ID    NAME\nabcd  Shop\nefgh  Other\n"), ("10", "id    abcd\nname  Shop\n\nid    efgh\nname  Other\n")],
)
def test_wide_rows_are_printed_one_below_the_other(monkeypatch, columns, printed):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    print_rows([{"id": "abcd", "name": "Shop"}, {"id": "efgh", "name": "Other"}], ["id", "name"], as_json=False)
    assert terminal.getvalue() == printed


def test_a_record_prints_booleans_as_json_and_none_as_a_dash(capsys):
    print_record({"paused": False, "events": 3, "name": None}, as_json=False)
    assert capsys.readouterr().out == "paused  false\nevents  3\nname    -\n"
