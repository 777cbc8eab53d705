-- One row at least for each table of the first step, as a server of that time could have written it.
INSERT INTO clients (id, fingerprint, key_hash, issued_as, certificate, name, standing, onboarded_at, decided_by, decided_at, fetched, security_event, security_event_at, last_order)
VALUES ('00000000-0000-0000-0000-000000000007', 'sha256:0707070707070707070707070707070707070707070707070707070707070707', 'sha256:0808080808080808080808080808080808080808080808080808080808080808', NULL, X'3007', 'press-7', 'approved', 100, 'ada', 101, 1, 'manifest version 1', 102, 1);
INSERT INTO authorities (fingerprint, certificate, name, added_by, added_at)
VALUES ('sha256:0909090909090909090909090909090909090909090909090909090909090909', X'3009', 'plant', 'ada', 99);
INSERT INTO contacts (client_id, last_contact, next_contact, expected_by, quiet, running, undelivered)
VALUES ('00000000-0000-0000-0000-000000000007', 200, 260, 320, NULL, 1, 2);
INSERT INTO heard_signatures (name, until) VALUES (X'0A', 460);
INSERT INTO devices (client_id, id, capabilities, reported_at)
VALUES ('00000000-0000-0000-0000-000000000007', 'press-7', '{}', 110);
INSERT INTO device_reports (client_id, number, device_id, at, capabilities, changes)
VALUES ('00000000-0000-0000-0000-000000000007', 1, 'press-7', 110, '{}', '[]');
INSERT INTO applications (id, version, name, digest, description, added_at, added_by, sequence)
VALUES ('com-example-pumps', '1.0.0', 'Pump monitor', 'sha256:0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b', X'763131', 90, 'ada', 1);
INSERT INTO packages (digest, bytes)
VALUES ('sha256:0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c', X'1F8B');
INSERT INTO application_packages (application_id, application_version, location, digest)
VALUES ('com-example-pumps', '1.0.0', 'compose', 'sha256:0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c');
INSERT INTO deployments (id, client_id, device_id, name, application_id, application_version, parameters, document_digest, document, components, former_components, published, wanted, life, report, ordered_by, ordered_at, heard_at)
VALUES ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000007', 'press-7', 'pumps', 'com-example-pumps', '1.0.0', '{}', 'sha256:0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d', X'613A2031', '["pumps"]', '[]', 1, 1, 'ordered', NULL, 'ada', 120, NULL);
INSERT INTO deployment_events (deployment_id, sequence, at, what, operator, revision, report)
VALUES ('00000000-0000-0000-0000-000000000001', 1, 121, 'published', NULL, 1, NULL);
INSERT INTO revisions (client_id, number, git_commit, manifest, manifest_digest, published_at, message, operators, signer)
VALUES ('00000000-0000-0000-0000-000000000007', 1, 'c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1', X'7B7D', 'sha256:0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e', 121, 'Install pumps', '["ada"]', 'ssh-ed25519 AAAA');
INSERT INTO orders (client_id, number, revision, operator, at, what, reason)
VALUES ('00000000-0000-0000-0000-000000000007', 1, 1, 'ada', 120, '{}', 'first try');
INSERT INTO documents (client_id, deployment_id, digest, bytes)
VALUES ('00000000-0000-0000-0000-000000000007', '00000000-0000-0000-0000-000000000001', 'sha256:0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d', X'613A2031');
INSERT INTO revision_documents (client_id, revision, deployment_id, digest, application_version, parameters)
VALUES ('00000000-0000-0000-0000-000000000007', 1, '00000000-0000-0000-0000-000000000001', 'sha256:0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d', '1.0.0', '{}');
INSERT INTO bundles (client_id, digest, bytes)
VALUES ('00000000-0000-0000-0000-000000000007', 'sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f', X'1F8B');
INSERT INTO git_objects (client_id, oid, kind, entry)
VALUES ('00000000-0000-0000-0000-000000000007', 'c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1', 'commit', X'C1C1');
INSERT INTO revision_objects (client_id, revision, oid, added)
VALUES ('00000000-0000-0000-0000-000000000007', 1, 'c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1', 1);
INSERT INTO jobs (kind, subject, asked, attempts, not_before)
VALUES ('publish', '00000000-0000-0000-0000-000000000007', 1, 0, 121);
INSERT INTO settings (name, value) VALUES ('commit-signing-keys', X'5B5D');
INSERT INTO operators (name, role, token_hash) VALUES ('ada', 'administrator', 'sha256:1010');
INSERT INTO audit (sequence, at, actor, action, subject, detail)
VALUES (1, 101, 'ada', 'client.approve', 'press-7', '');
INSERT INTO counters (name, value) VALUES ('applications', 1);
