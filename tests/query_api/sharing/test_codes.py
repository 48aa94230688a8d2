"""The sign-in code: once, for ten minutes, with five tries."""

from __future__ import annotations

import pytest

from apimetry.query_api.sharing.codes import CODE_LIFE_S, MAX_TRIES, SignInCode


@pytest.mark.parametrize("typed", [str, str.lower, lambda text: f" {text[:4]}-{text[4:]} "])
def test_a_code_is_taken_as_people_type_it(typed):
    code = SignInCode()
    assert len(code.text) == 8
    assert code.redeem(typed(code.text))


def test_a_code_is_gone_after_its_tries_its_time_or_its_use():
    used = SignInCode()
    assert used.redeem(used.text)
    assert not used.redeem(used.text)
    guessed = SignInCode()
    wrong = ["", "ü", "\ud800", "AAAAAAAA" if guessed.text != "AAAAAAAA" else "BBBBBBBB", guessed.text + "A"]
    assert len(wrong) == MAX_TRIES
    assert not any(map(guessed.redeem, wrong))
    assert not guessed.redeem(guessed.text)
    now = [0.0]
    late = SignInCode(lambda: now[0])
    now[0] = CODE_LIFE_S
    assert not late.redeem(late.text)


def test_every_start_has_another_code():
    assert len({SignInCode().text for _ in range(100)}) == 100
