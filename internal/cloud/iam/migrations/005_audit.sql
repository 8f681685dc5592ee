-- Audit records of sign-ins that did not come through the gateway, until the platform has taken them. Numbers are never used again.
CREATE TABLE iam_audit_records (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    record TEXT NOT NULL
) STRICT;
