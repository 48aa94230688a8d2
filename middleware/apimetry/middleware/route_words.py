"""The words of telling names and of ordinary routes, in lower case; telling words in the singular."""

from __future__ import annotations

from typing import Final


def _read(text: str) -> frozenset[str]:
    return frozenset(text.split())


CODES: Final = _read("""
    otp totp hotp pin mfa tfa 2fa cvv cvc csc passcode onetime verify verification validate validation confirm
    confirmation activate activation reset forgot recover recovery unsubscribe unsub optout magic magiclink password
    passwd passwort kennwort contrasena senha motdepasse wachtwoord pwd pw pass passphrase secret
    pincode mfacode smscode logincode accesscode securitycode backupcode
""")
"""The next text is a code or a password, also if it is a number."""
STRICT: Final = _read("""
    token tkn passkey apikey privatekey secretkey accesskey session sessid sid jsessionid phpsessid cookie nonce
    csrf xsrf jwt jws jwe bearer credential cred signature sig hmac invite invitation authcode authkey oauth
""")
"""The next text is a secret, or the number of a record."""
LOOSE: Final = _read("""
    auth login signin signup sso saml key code hash link join share ticket refresh claim redeem voucher coupon
    giftcard phone tel telephone mobile msisdn whatsapp sms ssn passport taxid pan iban
""")
"""The next text may be a secret if it does not look like a word."""
AMBIGUOUS: Final = _read("pin sig sid magic mfa pw pass")
"""Telling alone, or as the last word of a name; ordinary before another word."""
ORDINARY: Final = (
    _read("""
    accept activate add all apply approve archive authenticate authorise authorize begin bulk cancel change check
    clear close complete confirm connect copy count create current decline delete deny disable disconnect done
    download edit enable end exchange exists expire expired export extend fail failed failure find finish forgot
    forgotten generate get import info init initiate inspect introspect introspection issue list load lock login
    logout lookup me migrate modify move new next now open pending ping policy post preview previous process publish
    put query read redirect refresh register registration reject remove rename renew replace report request requests
    resend reset restart restore resume retry return revoke rotate rotation rules save search select self send set
    setup show sign start state status stop submit success summary swap sync test toggle transfer unlock unsubscribe
    update upload use validate verify view wait whoami with without
""")
    | _read("""
    about access account accounts action actions active address admin alert alerts analytics api app apps auth
    avatar batch billing browser bucket callback callbacks card cards catalog category challenge channel channels
    charts checkout client clients code codes comment comments company config configuration confirmation contact
    contacts content cookies count customer customers daily dashboard data default demo detail details device
    devices docs document documents domain email emails error errors event events faq favorites feed file files
    filter filters flow folder form friend friends group groups guest guests health help hint history home html http
    identity image images index info internal invoice invoices item items javascript job jobs json jwks key keys
    kind label language limit limits link links locale log logs mail management manager member members message
    messages meta metadata metrics mobile model models monthly name network newsletter notification notifications
    number oauth offer old option options order orders organization organizations owner page pages partner payment
    payments permission permissions phone photo photos php picture plan plans post posts preferences price prices
    privacy private product products profile profiles project projects promo provider providers public purchase push
    question questions quote random reminder replay report reports result results role roles room rooms rpc schedule
    schema scope scopes security server service services setting settings shared sms source stage static statistics
    stats step store stream subscription subscriptions support survey system tag tags task tasks team teams template
    templates tenant terms text thanks theme ticket time timeline token tools topic total track type types uri url
    usage user userinfo username users value values version versions video web webhook webhooks website week weekly
    welcome wizard workspace workspaces xml year
""")
    | _read("""
    apple azure discord facebook github gitlab google linkedin microsoft okta slack twitter
""")
    | _read("""
    a an and any as at by for from id ids in into is it my no not of off on one only or our out the this to two up
    via who yes you your
""")
)
"""Verbs, nouns, providers and short words: no secret at any place."""
