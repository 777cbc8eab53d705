"""Signs requests of the device API, with the key of the client that they are about.

The signatures are made by http-message-signatures, an implementation of RFC 9421 that is not Gantry's.
"""

import datetime
import json
import re
import secrets

import requests
from http_message_signatures import ContentDigest, HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms

from scene import APPROVED, CLIENTS, one_in

ALGORITHMS = {
    "approved": algorithms.ECDSA_P256_SHA256,
    "leaving": algorithms.ED25519,
    "waiting": algorithms.RSA_V1_5_SHA256,
    "stranger": algorithms.ECDSA_P384_SHA384,
}


class Key(HTTPSignatureKeyResolver):
    """The private key of one client, whatever it is asked for."""

    def __init__(self, pem):
        self.pem = pem

    def resolve_private_key(self, key_id):
        return self.pem

    def resolve_public_key(self, key_id):
        raise NotImplementedError("nothing is verified here")


SIGNERS = {
    name: HTTPMessageSigner(signature_algorithm=ALGORITHMS[name], key_resolver=Key(client["key"].encode()))
    for name, client in CLIENTS.items()
}


class Signature(requests.auth.AuthBase):
    """Signs a request as it is going to be sent; leaves one in twelve as it is."""

    def __call__(self, request):
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        # A case without the header is about its absence.
        digested = request.headers.pop("Content-Digest", None) is not None
        if digested:
            ContentDigest.add(request.headers, body)
        if one_in(12, request.method, request.url, sorted(request.headers.items()), body):
            return request
        SIGNERS[who_sends(request.url, body)].sign(
            request,
            key_id="made-by-schemathesis",
            created=datetime.datetime.now(datetime.timezone.utc),
            nonce=secrets.token_hex(8),
            label="sig1",
            include_alg=False,
            covered_component_ids=("@method", "@target-uri"),
            body=body if digested else None,
            use_existing_digest=digested,
        )
        return request


def who_sends(url, body):
    """The client in the path, or the one whose certificate is in the body; else the approved one."""
    named = re.search(r"/clients/([^/?]+)", url)
    certificate = None if named else certificate_of(body)
    for name, client in CLIENTS.items():
        if (named and named[1] == client["id"]) or (certificate and certificate == client["certificate"]):
            return name
    return APPROVED


def certificate_of(body):
    try:
        request = json.loads(body)
    except ValueError:
        return None
    return request.get("certificate") if isinstance(request, dict) else None
