"""Makes generated requests of both APIs about things that are there.

Only what is well-formed is replaced: a case that is about something malformed stays as it is.
"""

import io
import os
import re
import tarfile
from urllib.parse import unquote

import schemathesis

from scene import APPROVED, CLIENTS, SCENE, one_in
from signing import Signature

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
APPLICATION = re.compile(r"[a-z0-9-]+")
VERSION = re.compile(r"[A-Za-z0-9._+-]+")
OPERATOR = re.compile(r"[A-Za-z0-9._@-]+")
DEVICE = re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*")
OTHER_VERSION = "9.0.0"
DEVICE_API = "/api/v1/"

schemathesis.auth.set_from_requests(Signature()).apply_to(path_regex=f"^{DEVICE_API}(clients/|onboarding$)")


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None:
        return
    drawn = (case.path_parameters, case.headers, case.query, case.body)
    if case.operation.path.startswith(DEVICE_API):
        of_device_api(case, drawn)
    else:
        of_operator_api(case, drawn)


def astray(case, why, drawn):
    """Whether a case is not about what it may have; of the few cases of the coverage phase none is."""
    return case.meta.phase.name != "coverage" and one_in(8, why, drawn)


def of_device_api(case, drawn):
    path, body, headers = case.path_parameters or {}, case.body, case.headers
    if astray(case, "somebody else's", drawn):
        replace(path, "clientId", UUID, CLIENTS["waiting"]["id"])
    elif not astray(case, "nobody's", drawn):
        replace(path, "clientId", UUID, CLIENTS[APPROVED]["id"])
    if not astray(case, "not there", drawn):
        replace(path, "deploymentId", UUID, SCENE["deployment"])
        for name, below in [("document", "/deployments/"), ("bundle", "/bundles/"), ("package", "/packages/")]:
            if below in case.operation.path:
                replace(path, "digest", DIGEST, SCENE[name])
    if "digest" in path:
        # Quoted it would not keep to its schema, now that another part of the path has been replaced.
        replace(path, "digest", DIGEST, unquote(path["digest"]))
        conditional(headers, path["digest"], drawn)
    elif case.operation.path.endswith("/deployments"):
        # A part of JSON is no JSON, which schemathesis takes for a fault.
        headers.pop("Range", None)
    if not isinstance(body, dict):
        return
    if "deploymentId" in path:
        replace(body, "deploymentId", UUID, path["deploymentId"])
        report_every_component(body, drawn)
    if "deviceId" in path and isinstance(body.get("properties"), dict):
        replace(body["properties"], "id", DEVICE, unquote(path["deviceId"]))
    if isinstance(body.get("certificate"), str) and body["certificate"]:
        body["certificate"] = one_of(CLIENTS, drawn)["certificate"]


def of_operator_api(case, drawn):
    if astray(case, "not there", drawn):
        return
    # There the ids are those of answers to former requests.
    if case.meta.phase.name != "stateful":
        path_of_operator_api(case, drawn)
    body_of_operator_api(case, drawn)


def path_of_operator_api(case, drawn):
    path = case.path_parameters or {}
    # What is taken away is not what the other requests are about.
    removed = case.operation.method.upper() == "DELETE"
    about = {
        "approve": CLIENTS["waiting"]["id"],
        "reject": SCENE["refused"],
        "revoke": CLIENTS["leaving"]["id"],
        "certificate": SCENE["renewing"],
        "rollback": SCENE["renewing"],
    }
    replace(path, "clientId", UUID, about.get(case.operation.path.rsplit("/", 1)[1], CLIENTS[APPROVED]["id"]))
    replace(path, "deploymentId", UUID, SCENE["withdrawn" if removed else "deployment"])
    replace(path, "fingerprint", DIGEST, SCENE["authority"])
    replace(path, "applicationId", APPLICATION, SCENE["application"])
    replace(path, "version", VERSION, OTHER_VERSION if removed and one_in(2, "other", drawn) else SCENE["version"])
    replace(path, "name", OPERATOR, SCENE["leaver"])


def body_of_operator_api(case, drawn):
    body = case.body
    if case.operation.path.endswith("/applications") and case.meta.generation.mode.is_positive:
        case.body = package(SCENE["version"] if one_in(4, "the same", drawn) else OTHER_VERSION)
    if not isinstance(body, dict):
        return
    # Nobody has seen a number that was drawn.
    for seen in ("orderedEvent", "newestOrder"):
        if isinstance(body.get(seen), int) and not one_in(4, "overtaken", drawn):
            del body[seen]
    # One that does not have the application yet.
    replace(body, "clientId", UUID, SCENE["ordering"])
    replace(body, "deviceId", DEVICE, "ordering")
    replace(body, "applicationId", APPLICATION, SCENE["application"])
    replace(body, "version", VERSION, SCENE["version"])
    if isinstance(body.get("parameters"), dict):
        body["parameters"] = {"greeting": "Moin"}
    if isinstance(body.get("certificate"), str) and body["certificate"]:
        renewal = case.operation.path.endswith("/certificate")
        body["certificate"] = SCENE["renewed"] if renewal else one_of(CLIENTS, drawn)["pem"]


def one_of(clients, drawn):
    names = sorted(clients)
    return clients[names[len(str(drawn)) % len(names)]]


def replace(where, name, well_formed, value):
    """In paths the texts are quoted already."""
    if isinstance(where.get(name), str) and well_formed.fullmatch(unquote(where[name])):
        where[name] = value


def conditional(headers, digest, drawn):
    """Random texts are neither tags nor ranges."""
    for name, values in [
        ("If-None-Match", [f'"{digest}"', "*", '"other"']),
        ("If-Range", [f'"{digest}"', '"other"']),
        ("Range", ["bytes=7-", "bytes=0-", "bytes=99999999-"]),
    ]:
        if name in headers:
            headers[name] = values[len(str(drawn)) % len(values)]


def report_every_component(body, drawn):
    """A report that leaves a component out is refused, and no generated one names those that are there."""
    status = body.get("status")
    if isinstance(status, dict) and isinstance(body.get("components"), list) and not one_in(4, "other", drawn):
        body["components"] = [{**status, "name": SCENE["component"]}]


def package(version):
    """The example as an application package of this version."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.add(SCENE["example"], arcname=".", filter=lambda it: None if it.name == "./margo.yaml" else it)
        with open(os.path.join(SCENE["example"], "margo.yaml"), "rb") as description:
            text = description.read().replace(SCENE["version"].encode(), version.encode())
        member = tarfile.TarInfo("./margo.yaml")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return file.getvalue()


@schemathesis.serializer("application/gzip")
def as_it_is(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.check
def unsigned_requests_get_errors(ctx, response, case):
    """Whoever has not signed gets nothing but errors from what has to be signed."""
    if case.operation.definition.raw.get("security") and case.operation.path.startswith(DEVICE_API):
        signed = "Signature" in response.request.headers
        assert signed or response.status_code >= 400, f"{response.status_code} for a request without a signature"
