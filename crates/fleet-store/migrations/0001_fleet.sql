-- What a fleet manager remembers. The text is the same for SQLite and PostgreSQL, so:
-- TEXT for ids, digests (`sha256:<hex>`), names and JSON; BIGINT for numbers, flags (0 or 1) and times
-- (seconds since 1970); BYTEA for bytes. Sequences are counted inside the transactions that use them.

CREATE TABLE clients (
    id TEXT PRIMARY KEY NOT NULL,
    fingerprint TEXT NOT NULL UNIQUE,
    -- Of the certificate's public key.
    key_hash TEXT NOT NULL UNIQUE,
    -- What the authority that vouched for the certificate calls its owner.
    issued_as TEXT,
    certificate BYTEA NOT NULL,
    -- The fingerprint of a certificate that an operator has announced in place of this one.
    expected_fingerprint TEXT UNIQUE,
    name TEXT NOT NULL,
    standing TEXT NOT NULL,
    onboarded_at BIGINT NOT NULL,
    decided_by TEXT,
    decided_at BIGINT,
    -- The newest revision that the client has been given.
    fetched BIGINT,
    -- What the client last refused for safety's sake, and when.
    security_event TEXT,
    security_event_at BIGINT,
    -- The number of the newest row in `orders`.
    last_order BIGINT NOT NULL
);

CREATE INDEX clients_by_issue ON clients (issued_as);
CREATE INDEX clients_by_standing ON clients (standing, onboarded_at);

-- Who vouches for certificates that nobody has seen before.
CREATE TABLE authorities (
    fingerprint TEXT PRIMARY KEY NOT NULL,
    certificate BYTEA NOT NULL,
    name TEXT NOT NULL,
    added_by TEXT NOT NULL,
    added_at BIGINT NOT NULL
);

-- Apart from `clients`, whose rows are long and seldom change.
CREATE TABLE contacts (
    client_id TEXT PRIMARY KEY NOT NULL REFERENCES clients (id),
    last_contact BIGINT NOT NULL,
    -- What the client last said of itself; NULL where it never said anything.
    next_contact BIGINT,
    expected_by BIGINT,
    quiet TEXT,
    running BIGINT,
    undelivered BIGINT
);

-- Signatures of requests that changed something, for as long as they hold: none changes anything twice.
CREATE TABLE heard_signatures (
    name BYTEA PRIMARY KEY NOT NULL,
    until BIGINT NOT NULL
);
CREATE INDEX heard_signatures_by_until ON heard_signatures (until);

CREATE TABLE devices (
    client_id TEXT NOT NULL REFERENCES clients (id),
    id TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    reported_at BIGINT NOT NULL,
    PRIMARY KEY (client_id, id)
);

-- What clients have said of their devices, the newest of it also in `devices`.
CREATE TABLE device_reports (
    client_id TEXT NOT NULL REFERENCES clients (id),
    number BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    -- NULL where the client took the device back.
    capabilities TEXT,
    -- JSON: what differs from the report before it.
    changes TEXT NOT NULL,
    PRIMARY KEY (client_id, number)
);

CREATE INDEX device_reports_by_device ON device_reports (client_id, device_id, number);

CREATE TABLE applications (
    id TEXT NOT NULL,
    version TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    description BYTEA NOT NULL,
    added_at BIGINT NOT NULL,
    added_by TEXT NOT NULL,
    -- Rises with each application that is added: several may be added in one second.
    sequence BIGINT NOT NULL,
    PRIMARY KEY (id, version)
);

CREATE TABLE packages (
    digest TEXT PRIMARY KEY NOT NULL,
    bytes BYTEA NOT NULL
);

CREATE TABLE application_packages (
    application_id TEXT NOT NULL,
    application_version TEXT NOT NULL,
    location TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES packages (digest),
    PRIMARY KEY (application_id, application_version, location),
    FOREIGN KEY (application_id, application_version) REFERENCES applications (id, version)
);

CREATE INDEX application_packages_by_digest ON application_packages (digest);

CREATE TABLE deployments (
    id TEXT PRIMARY KEY NOT NULL,
    client_id TEXT NOT NULL REFERENCES clients (id),
    device_id TEXT NOT NULL,
    name TEXT NOT NULL,
    application_id TEXT NOT NULL,
    application_version TEXT NOT NULL,
    parameters TEXT NOT NULL,
    document_digest TEXT NOT NULL,
    document BYTEA NOT NULL,
    components TEXT NOT NULL,
    former_components TEXT NOT NULL,
    published BIGINT,
    wanted BIGINT NOT NULL,
    life TEXT NOT NULL,
    report TEXT,
    ordered_by TEXT NOT NULL,
    ordered_at BIGINT NOT NULL,
    heard_at BIGINT
);

CREATE UNIQUE INDEX one_wanted_application_on_a_device
    ON deployments (client_id, device_id, application_id) WHERE wanted = 1;
CREATE UNIQUE INDEX one_wanted_name_of_a_client
    ON deployments (client_id, name) WHERE wanted = 1;
CREATE INDEX wanted_deployments_by_application
    ON deployments (application_id, application_version) WHERE wanted = 1;
CREATE INDEX deployments_by_client ON deployments (client_id, ordered_at);

CREATE TABLE deployment_events (
    deployment_id TEXT NOT NULL REFERENCES deployments (id),
    sequence BIGINT NOT NULL,
    at BIGINT NOT NULL,
    what TEXT NOT NULL,
    operator TEXT,
    revision BIGINT,
    report TEXT,
    PRIMARY KEY (deployment_id, sequence)
);

CREATE TABLE orders (
    client_id TEXT NOT NULL REFERENCES clients (id),
    number BIGINT NOT NULL,
    -- The revision that carried it out; NULL while it is pending.
    revision BIGINT,
    operator TEXT NOT NULL,
    at BIGINT NOT NULL,
    what TEXT NOT NULL,
    reason TEXT,
    PRIMARY KEY (client_id, number)
);

CREATE INDEX pending_orders ON orders (client_id, number) WHERE revision IS NULL;

CREATE TABLE revisions (
    client_id TEXT NOT NULL REFERENCES clients (id),
    number BIGINT NOT NULL,
    git_commit TEXT NOT NULL,
    manifest BYTEA NOT NULL,
    manifest_digest TEXT NOT NULL,
    published_at BIGINT NOT NULL,
    message TEXT NOT NULL,
    operators TEXT NOT NULL,
    -- The SSH public key whose signature the commit carries.
    signer TEXT,
    PRIMARY KEY (client_id, number),
    UNIQUE (client_id, git_commit)
);

-- Kept for ever: a device may come back after a year and ask for what an old manifest names.
CREATE TABLE documents (
    client_id TEXT NOT NULL REFERENCES clients (id),
    deployment_id TEXT NOT NULL REFERENCES deployments (id),
    digest TEXT NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (client_id, deployment_id, digest)
);

CREATE TABLE revision_documents (
    client_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    deployment_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    -- What the document was made of. The same document may come of other versions and values later.
    application_version TEXT NOT NULL,
    parameters TEXT NOT NULL,
    PRIMARY KEY (client_id, revision, deployment_id),
    FOREIGN KEY (client_id, revision) REFERENCES revisions (client_id, number),
    FOREIGN KEY (client_id, deployment_id, digest)
        REFERENCES documents (client_id, deployment_id, digest)
);

CREATE TABLE bundles (
    client_id TEXT NOT NULL REFERENCES clients (id),
    digest TEXT NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (client_id, digest)
);

CREATE TABLE git_objects (
    client_id TEXT NOT NULL REFERENCES clients (id),
    oid TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- The entry as it stands in a pack: header and compressed content.
    entry BYTEA NOT NULL,
    PRIMARY KEY (client_id, oid)
);

-- All that a revision needs: its commit, and each object of its tree.
CREATE TABLE revision_objects (
    client_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    oid TEXT NOT NULL,
    -- 1 when the revision before it does not need the object.
    added BIGINT NOT NULL,
    PRIMARY KEY (client_id, revision, oid),
    FOREIGN KEY (client_id, revision) REFERENCES revisions (client_id, number),
    FOREIGN KEY (client_id, oid) REFERENCES git_objects (client_id, oid)
);

-- A pack is read revision by revision, and has each object once.
CREATE INDEX added_objects ON revision_objects (client_id, revision, oid) WHERE added = 1;
CREATE INDEX additions_of_objects ON revision_objects (client_id, oid, revision) WHERE added = 1;

CREATE TABLE jobs (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- Counts how often it was asked for, so that a worker does not strike out what was asked for
    -- after it had started.
    asked BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
);

CREATE INDEX jobs_by_time ON jobs (not_before);

CREATE TABLE settings (
    name TEXT PRIMARY KEY NOT NULL,
    value BYTEA NOT NULL
);

CREATE TABLE operators (
    name TEXT PRIMARY KEY NOT NULL,
    role TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE
);

-- Rows are only ever added.
CREATE TABLE audit (
    sequence BIGINT PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
);

CREATE TABLE counters (
    name TEXT PRIMARY KEY NOT NULL,
    value BIGINT NOT NULL
);
