"""Who somebody is, by an identity provider's ID token: what is accepted, and when the provider is asked."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from scorer.service.access.oidc.issuer import Issuer, fetch_provider
from scorer.service.access.oidc.people import People, Person, check_claim, looks_like_one
from scorer.service.settings import OidcSettings
from scorer.wire.errors import BadOption, ConfigurationError, NonsenseReply, Unauthorised, Unavailable
from tests.unit.service.access.local_issuer import CLIENT, LocalIssuer, local_issuer


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalIssuer]:
    with local_issuer(tmp_path_factory.mktemp("issuer")) as running:
        yield running


@pytest.fixture
def issuer(served: LocalIssuer) -> LocalIssuer:
    """The provider as at its start."""
    served.keys = {"one": served.keys["one"]}
    served.extra, served.asked, served.down, served.name = [], [], False, ""
    return served


def people(issuer: LocalIssuer, pause: float = 60.0, **changed: Any) -> People:
    settings = issuer.settings(**changed)
    return People(settings, Issuer(settings, pause))


def test_a_person_is_known_by_the_claims(issuer: LocalIssuer) -> None:
    person = people(issuer).person(issuer.token(realm_access={"roles": ["hunter"]}))
    assert person.subject == "eve"
    assert person.has("groups=soc")
    assert person.has("realm_access.roles=hunter")
    assert not person.has("groups=so")
    assert not person.has("groups=")
    assert not person.has("groups.soc=soc")
    named = people(issuer, subject_claim="email").person(issuer.token(email="eve@soc.example"))
    assert named.subject == "eve@soc.example"


@pytest.mark.parametrize(("algorithm", "key"), [("RS256", "rsa"), ("ES256", "one")])
def test_both_common_signatures(issuer: LocalIssuer, algorithm: str, key: str) -> None:
    issuer.keys["rsa"] = rsa.generate_private_key(65537, 2048)
    assert people(issuer).person(issuer.token(key, algorithm)).subject == "eve"


NOW = int(time.time())


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"aud": []},
        {"aud": [CLIENT, "other"]},  # of several audiences, and nobody says for whom
        {"aud": [CLIENT, "other"], "azp": "other"},
        {"azp": "other"},
        {"exp": NOW - 3600},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": NOW + 3600},
        {"iat": NOW + 3600},
        {"iat": None},
        {"iat": NOW - 7200},
        {"iat": "long ago"},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a\nb"},
        {"sub": "x" * 200},
    ],
    ids=str,
)
def test_claims_that_are_not_accepted(issuer: LocalIssuer, claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthorised, match="not accepted"):
        people(issuer).person(issuer.token(**claims))


def test_several_audiences_with_qscore_as_the_party(issuer: LocalIssuer) -> None:
    assert people(issuer).person(issuer.token(aud=[CLIENT, "other"], azp=CLIENT)).subject == "eve"
    other = people(issuer, audience="https://qscore.example")
    assert other.person(issuer.token(aud="https://qscore.example")).subject == "eve"


def test_clocks_may_differ_a_little(issuer: LocalIssuer) -> None:
    early = issuer.token(iat=int(time.time()) + 15, nbf=int(time.time()) + 15)
    assert people(issuer).person(early).subject == "eve"
    with pytest.raises(Unauthorised):
        people(issuer, leeway=0.0).person(early)


def _forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def test_no_signature_and_shared_secrets_prove_nothing(issuer: LocalIssuer) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    public = issuer.keys["one"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    tokens = [_forged({"alg": name, "kid": "one"}, claims) for name in ("none", "None", "", "HS256", "ES256", "RS256")]
    tokens.append(_forged({"alg": ["ES256"], "kid": "one"}, claims))
    tokens.append(_forged({"alg": "HS256", "kid": "one"}, claims, public))
    issuer.extra = [{"kty": "oct", "kid": "secret", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256"}]
    tokens.append(jwt.encode(claims, "secretsecretsecretsecretsecretsecret"[:32], "HS256", {"kid": "secret"}))
    for token in tokens:
        with pytest.raises(Unauthorised):
            people(issuer).person(token)


def test_algorithms_that_no_setting_can_allow() -> None:
    for name in ("none", "HS256", "RS1", ""):
        with pytest.raises(ValidationError):
            OidcSettings.model_validate({"algorithms": [name]})


def test_a_stranger_s_key_and_a_changed_token(issuer: LocalIssuer) -> None:
    token = issuer.token()
    head, payload, signature = token.split(".")
    changed = _forged({}, jwt.decode(token, options={"verify_signature": False}) | {"sub": "root"}).split(".")[1]
    with pytest.raises(Unauthorised):
        people(issuer).person(f"{head}.{changed}.{signature}")
    own = issuer.keys["one"]
    issuer.keys["one"] = ec.generate_private_key(ec.SECP256R1())
    forged = issuer.token()
    issuer.keys["one"] = own
    with pytest.raises(Unauthorised):
        people(issuer).person(forged)
    assert people(issuer).person(f"{head}.{payload}.{signature}").subject == "eve"


def test_a_key_serves_its_own_algorithm_alone(issuer: LocalIssuer) -> None:
    issuer.keys["rsa"] = rsa.generate_private_key(65537, 2048)
    both = people(issuer, algorithms=("RS256", "PS256", "ES256"))
    with pytest.raises(Unauthorised, match="its key is for another algorithm"):
        both.person(issuer.token("rsa", "PS256"))
    header = {"alg": "RS256", "kid": "one"}
    with pytest.raises(Unauthorised):
        both.person(_forged(header, {}, b"x" * 64))


def test_short_keys_private_keys_and_keys_for_other_uses_are_left_out(issuer: LocalIssuer) -> None:
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505  # to see it refused
    issuer.keys["short"] = short
    with pytest.warns(Warning, match="below the minimum"):
        token = issuer.token("short")
    with pytest.raises(Unauthorised):
        people(issuer).person(token)
    issuer.keys.pop("short")
    issuer.extra = [
        {"kty": "EC", "kid": "private", "d": "x"},
        {"kty": "RSA", "kid": "enc", "use": "enc"},
        {"kid": "nothing"},
        "no key",  # type: ignore[list-item]
    ]
    assert [key["kid"] for key in fetch_provider(issuer.settings()).keys] == ["one"]


@pytest.mark.parametrize(
    "token", ["", "a.b.c", "eyJ.eyJ.", "." * 5000, "eyJhbGciOiJFUzI1NiJ9.W10.AA", "\udcff.a.b", "é.é.é"]
)
def test_what_is_no_token(issuer: LocalIssuer, token: str) -> None:
    with pytest.raises(Unauthorised):
        people(issuer).person(token)


def test_the_provider_is_asked_once_and_again_for_a_key_that_it_rotated_in(issuer: LocalIssuer) -> None:
    known = people(issuer, pause=0.0)
    for _ in range(3):
        known.person(issuer.token())
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]
    issuer.keys["two"] = ec.generate_private_key(ec.SECP256R1())
    assert known.person(issuer.token("two")).subject == "eve"
    assert len(issuer.asked) == 4


def test_unknown_keys_make_nobody_ask_without_end(issuer: LocalIssuer) -> None:
    known = people(issuer)
    known.person(issuer.token())
    issuer.keys["unknown"] = ec.generate_private_key(ec.SECP256R1())
    tokens = [issuer.token("unknown") for _ in range(5)]
    for token in tokens:
        with pytest.raises(Unauthorised, match="has no such key"):
            known.person(token)
    assert len(issuer.asked) == 2
    not_allowed = people(issuer)
    with pytest.raises(Unauthorised, match="not allowed"):
        not_allowed.person(_forged({"alg": "HS256", "kid": "x"}, {}))
    assert len(issuer.asked) == 2, "an algorithm that is not allowed costs the provider nothing"


def test_known_keys_serve_while_the_provider_is_away_and_not_for_ever(issuer: LocalIssuer) -> None:
    settings = issuer.settings()
    patient, hasty = (People(settings, Issuer(settings, pause=0.0, fresh=0.0, last=last)) for last in (3600.0, 0.2))
    for known in (patient, hasty):
        known.person(issuer.token())
    issuer.down = True
    time.sleep(0.3)
    assert patient.person(issuer.token()).subject == "eve"
    with pytest.raises(Unavailable, match="does not answer"):
        hasty.person(issuer.token())
    issuer.down = False
    assert hasty.person(issuer.token()).subject == "eve"


def test_keys_that_the_provider_took_back_serve_no_more(issuer: LocalIssuer) -> None:
    settings = issuer.settings()
    known = People(settings, Issuer(settings, pause=0.0, fresh=0.0))
    old = issuer.token()
    assert known.person(old).subject == "eve"
    key = issuer.keys.pop("one")
    issuer.keys["two"] = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(Unauthorised, match="has no such key"):
        known.person(old)
    issuer.keys["one"] = key


def test_a_provider_that_calls_itself_something_else_is_not_taken(issuer: LocalIssuer) -> None:
    issuer.name = "https://elsewhere.example"
    with pytest.raises(NonsenseReply, match="calls itself"):
        fetch_provider(issuer.settings())
    with pytest.raises(Unavailable):
        people(issuer).person(issuer.token())


def test_a_provider_with_a_certificate_of_nobody_known_is_not_asked(issuer: LocalIssuer, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        people(issuer, ca_file=None).person(issuer.token())
    assert issuer.asked == []


@pytest.mark.parametrize("address", ["http://localhost:1", "https://", "https://u:p@host", "ftp://x", "x"])
def test_addresses_that_can_never_work_are_said_at_the_start(address: str) -> None:
    with pytest.raises(ConfigurationError):
        People.of(OidcSettings(issuer=address, client_id=CLIENT))


def test_without_a_provider_there_are_no_people() -> None:
    assert People.of(OidcSettings()) is None
    with pytest.raises(ConfigurationError, match="client_id is not set"):
        People.of(OidcSettings(issuer="https://login.example"))


def test_claims_of_a_line() -> None:
    assert check_claim("groups=a=b") == "groups=a=b"
    assert Person("eve", {"groups": "a=b"}).has("groups=a=b")
    for text in ("groups", "=x", "groups=", "a=\x1b[31m", "a=" + "x" * 300):
        with pytest.raises(BadOption):
            check_claim(text)


def test_keys_and_tokens_of_ours_never_look_like_an_id_token(issuer: LocalIssuer) -> None:
    assert looks_like_one(issuer.token())
    for secret in ("qsk_a.b.c", "qst_a.b.c", "eyJ", "eyJ.a"):
        assert not looks_like_one(secret)
