"""The verifier of a password, by which PostgreSQL knows it without having it."""

from __future__ import annotations

import base64
import hashlib
import hmac

from vpnportal.deployment.gateway_role import scram_verifier


def test_the_verifier_accepts_the_exchange_of_rfc_7677():
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    exchange = (
        "n=user,r=rOprNGfwEbeRWgbNEkqO"
        f",r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        f",c=biws,r={nonce}"
    ).encode()
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")

    method, iterations, keys = scram_verifier("pencil", salt).split("$")

    stored, server = (base64.b64decode(key) for key in keys.split(":"))
    assert (method, iterations.partition(":")[0]) == ("SCRAM-SHA-256", "4096")
    signature = hmac.digest(stored, exchange, "sha256")
    client = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
    assert hashlib.sha256(client).digest() == stored
    answer = base64.b64encode(hmac.digest(server, exchange, "sha256")).decode()
    assert answer == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
