from __future__ import annotations

import re
import string
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimetry.middleware.masking import mask_path, mask_query
from apimetry.middleware.privacy import public_url
from tests.middleware.url_cases import CASES


@pytest.mark.parametrize(("path", "masked"), CASES)
def test_secrets_in_a_path_are_masked_and_names_stay(path, masked):
    assert mask_path(path) == masked


@pytest.mark.parametrize(("path", "masked"), CASES)
def test_encoding_every_character_of_a_segment_hides_no_secret(path, masked):
    if masked.endswith("***"):
        folder, _, name = path.rpartition("/")
        assert mask_path(f"{folder}/{_encode_all(name)}").endswith("***")


def test_table_of_paths_has_four_hundred_different_cases():
    assert len({path for path, _ in CASES}) == len(CASES) >= 400


# The property: whatever stands behind a telling name never leaves the process.

_NAMES = """
    token tokens access-token refresh-token reset-token invite-token api-token csrf-token x-csrf-token id-token
    password passwords new-password reset-password password-reset forgot-password passphrase passcode otp otps totp
    one-time-code one-time-password pin mfa-code verification-code secret secrets client-secret api-key api-keys
    x-api-key private-key secret-key access-key session sessions session-id session-ids jsessionid sid jwt bearer
    credential credentials signature signatures sig magic-link magic-links invite invites invitation invitations
    verify verify-email verification confirm confirm-email confirmation activate activation reset recover recovery
    unsubscribe opt-out cookie nonce auth-code user-password admin-secret webhook-secret
"""
_SPELLINGS = (
    str,
    str.upper,
    str.title,
    lambda name: name.replace("-", "_"),
    lambda name: name.replace("-", ""),
    lambda name: name.replace("-", "."),
    lambda name: "".join(map(str.capitalize, name.split("-"))),
    lambda name: name.split("-")[0] + "".join(map(str.capitalize, name.split("-")[1:])),
)


def _encode_all(text):
    return "".join(f"%{byte:02X}" for byte in text.encode())


_ENCODINGS = (str, _encode_all, lambda text: quote(text, safe=""), lambda text: quote(quote(text, safe=""), safe=""))
_BASE64 = string.ascii_letters + string.digits + "-_"
secrets = st.one_of(
    st.text(_BASE64, min_size=16, max_size=64),
    st.text(string.ascii_lowercase + string.digits, min_size=8, max_size=40),
    st.text(string.ascii_uppercase + string.digits, min_size=8, max_size=40),
    st.text("0123456789abcdef", min_size=8, max_size=64),
    st.text(string.digits, min_size=6, max_size=12),
    st.text(string.ascii_lowercase, min_size=10, max_size=40),
    st.text(_BASE64 + "+/=.~!$*,", min_size=12, max_size=48).map(lambda text: quote(text, safe="")),
    st.uuids().map(str),
    st.tuples(
        st.sampled_from(["hunter", "Tr0ub4dor", "letmein", "s3cr3t", "correct-horse"]), st.integers(10, 9999)
    ).map(lambda pair: f"{pair[0]}{pair[1]}"),
)
names = st.builds(lambda name, spell: spell(name), st.sampled_from(_NAMES.split()), st.sampled_from(_SPELLINGS))
encodings = st.sampled_from(_ENCODINGS)


def _decoded(text):
    for _ in range(4):
        text = unquote(text)
    return text


def _is_hidden(secret, url):
    return secret not in url and _decoded(secret) not in _decoded(url)


@given(
    st.sampled_from(["", "/v1", "/users/42", "/api/v2/accounts/acme"]),
    names,
    encodings,
    st.sampled_from(["/", "//", "/new/", "/email/", "%2F", "/check//", "/v2/"]),
    secrets,
    encodings,
    st.sampled_from(["", "/", "/edit", ";v=1", "/items/3"]),
)
def test_no_secret_behind_a_telling_name_leaves_in_a_path(folder, name, spell, between, secret, encode, rest):
    path = f"{folder}/{spell(name)}{between}{encode(secret)}{rest}"
    assert _is_hidden(secret, public_url(path, "", "masked"))
    assert _is_hidden(secret, public_url(path, "", "path"))


@given(
    names, encodings, st.sampled_from(["=", ":", "%3D", "%3A", "(", ";token=", "?a=", "%3Fa="]), secrets, encodings
)
def test_no_secret_behind_a_telling_name_leaves_in_the_same_segment(name, spell, between, secret, encode):
    path = f"/v1/{spell(name)}{between}{encode(secret)}/x"
    assert _is_hidden(secret, mask_path(path))


@given(st.lists(st.tuples(names | st.just("q"), secrets, encodings), min_size=1, max_size=4), st.sampled_from("&;"))
def test_no_value_of_a_query_leaves(parameters, between):
    query = between.join(f"{name}={encode(secret)}" for name, secret, encode in parameters)
    url = public_url("/search", query, "masked")
    assert all(_is_hidden(secret, url) for _, secret, _ in parameters)


# And the other one: what routes are made of stays.

_ROUTES = """
    users orders items reports search products articles blog history settings profile images music events how-we-
    built-it a-day-in-the-life under_scored_names getUserSettings ListOrders
"""
_WORDS = st.sampled_from(_ROUTES.split())
_ORDINARY = st.one_of(
    _WORDS,
    st.integers(0, 10**12 - 1).map(str),
    st.uuids().map(str),
    st.dates().map(str),
    st.builds(
        lambda word, number, end: f"{word}-{number}.{end}",
        _WORDS,
        st.integers(0, 2030),
        st.sampled_from(["pdf", "js", "tar.gz"]),
    ),
    st.builds(lambda major, minor: f"v{major}.{minor}", st.integers(0, 99), st.integers(0, 99)),
    st.text("0123456789abcdef", min_size=7, max_size=12),
    st.from_regex(r"[A-Z]{2,5}-[0-9]{1,6}", fullmatch=True),
)


@given(st.lists(_ORDINARY, max_size=6))
def test_words_identifiers_dates_versions_and_files_stay(segments):
    path = "/" + "/".join(segments)
    assert mask_path(path) == path


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz/-", max_size=200))
def test_paths_of_plain_words_stay(path):
    is_long = any(len(segment) >= 24 for segment in path.split("/"))
    assert mask_path(path) == path or is_long or re.search("|".join(_STEMS.split()), path.replace("-", ""))


_STEMS = """
    otp pin mfa tfa cv[vc] csc pass pwd pw secret reset verif valid confirm activ forgot recover unsub opt magic tok
    tkn key sess sid cookie nonce csrf xsrf jw[tse] bearer cred sig hmac invit auth log sign sso saml code hash link
    join share ticket refresh claim redeem voucher coupon phone tel mobile msisdn sms ssn tax pan iban senha haslo
"""


_SEGMENTS = st.sampled_from(
    ["v1", "Token", "reset_password", "a" * 15, "eyJhbG.eyJzd.x", "é", "", "%2F", "t%6Fken"]
) | st.text(alphabet="aB9-_.+@;=%2F(:?", max_size=16)


@given(st.lists(_SEGMENTS, max_size=5).map("/".join))
def test_slash_at_the_end_changes_nothing_of_what_is_masked(path):
    assert mask_path(f"/{path}/") == mask_path(f"/{path}") + "/"


@given(st.lists(_SEGMENTS, max_size=5).map("/".join) | st.text(max_size=300))
def test_masking_twice_is_masking_once(path):
    once = mask_path(path)
    assert mask_path(once) == once


@pytest.mark.parametrize(
    ("query", "masked"),
    [
        ("page=2&token=s", "page=***&token=***"),
        ("bare", "***"),
        ("a=&b", "a=***&***"),
        ("jo@example.org=1", "***=***"),
        ("jo%40example.org=1", "***=***"),
        ("4111111111111111=1", "***=***"),
        ("user[token]=x&filter.name=y", "user[token]=***&filter.name=***"),
        ("token%3Dabc=1", "token=***"),
        ("token%253Dabc", "token=***"),
        ("", ""),
        ("a=b=c", "a=***"),
    ],
)
def test_query_keeps_names_and_masks_values(query, masked):
    assert mask_query(query) == masked


@given(st.text(alphabet=st.characters(exclude_characters="&=*"), min_size=4))
def test_no_query_value_survives(value):
    assert value not in mask_query(f"k={value}")
