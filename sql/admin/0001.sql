-- What others report about our domains (mox-smtp-delivery.md 5.2, 5.5), and what we gather to report to
-- others (5.3, 5.6). Domains are A-labels. Lists are JSON.

CREATE TABLE dmarc_report (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    domain TEXT NOT NULL,            -- of the published policy, ours
    from_domain TEXT NOT NULL,       -- of the message it came with
    received_unix INTEGER NOT NULL,
    begin_unix INTEGER NOT NULL,
    end_unix INTEGER NOT NULL,
    report_id TEXT NOT NULL,
    org_name TEXT NOT NULL,
    email TEXT NOT NULL,
    extra_contact_info TEXT NOT NULL,
    generator TEXT NOT NULL,
    version TEXT NOT NULL,
    errors TEXT NOT NULL,
    adkim TEXT NOT NULL,
    aspf TEXT NOT NULL,
    p TEXT NOT NULL,
    sp TEXT NOT NULL,
    np TEXT NOT NULL,
    pct TEXT NOT NULL,
    fo TEXT NOT NULL,
    testing TEXT NOT NULL,
    discovery_method TEXT NOT NULL,
    n_rows INTEGER NOT NULL,
    UNIQUE (domain, from_domain, report_id, begin_unix)
);
CREATE INDEX dmarc_report_received ON dmarc_report (domain, received_unix);
CREATE INDEX dmarc_report_age ON dmarc_report (received_unix);

CREATE TABLE dmarc_row (
    report INTEGER NOT NULL REFERENCES dmarc_report,
    number INTEGER NOT NULL,
    source_ip TEXT NOT NULL,
    count INTEGER NOT NULL,
    disposition TEXT NOT NULL,
    dkim TEXT NOT NULL,
    spf TEXT NOT NULL,
    header_from TEXT NOT NULL,
    envelope_from TEXT NOT NULL,
    envelope_to TEXT NOT NULL,
    reasons TEXT NOT NULL,
    dkim_results TEXT NOT NULL,
    spf_results TEXT NOT NULL,
    PRIMARY KEY (report, number)
) WITHOUT ROWID;

CREATE TABLE tls_report (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    domain TEXT NOT NULL,            -- of its policies, ours
    is_host INTEGER NOT NULL,        -- it is our host name
    from_domain TEXT NOT NULL,
    mail_from TEXT NOT NULL,
    received_unix INTEGER NOT NULL,
    begin_unix INTEGER NOT NULL,
    end_unix INTEGER NOT NULL,
    report_id TEXT NOT NULL,
    org_name TEXT NOT NULL,
    contact_info TEXT NOT NULL,
    n_rows INTEGER NOT NULL,         -- policies and failures
    UNIQUE (domain, from_domain, report_id, begin_unix)
);
CREATE INDEX tls_report_received ON tls_report (domain, received_unix);
CREATE INDEX tls_report_age ON tls_report (received_unix);

-- Of the domain only; a report may have policies of others.
CREATE TABLE tls_row (
    report INTEGER NOT NULL REFERENCES tls_report,
    number INTEGER NOT NULL,
    policy_type TEXT NOT NULL,
    policy_strings TEXT NOT NULL,
    mx_hosts TEXT NOT NULL,
    successes INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    PRIMARY KEY (report, number)
) WITHOUT ROWID;

CREATE TABLE tls_row_failure (
    report INTEGER NOT NULL REFERENCES tls_report,
    row INTEGER NOT NULL,
    number INTEGER NOT NULL,
    result_type TEXT NOT NULL,
    sending_ip TEXT NOT NULL,
    mx_host TEXT NOT NULL,
    mx_helo TEXT NOT NULL,
    receiving_ip TEXT NOT NULL,
    sessions INTEGER NOT NULL,
    additional TEXT NOT NULL,
    reason_code TEXT NOT NULL,
    PRIMARY KEY (report, row, number)
) WITHOUT ROWID;

-- How much there is of a domain, so that what is too much can go without counting.
CREATE TABLE received_total (
    is_tls INTEGER NOT NULL,
    domain TEXT NOT NULL,
    n_reports INTEGER NOT NULL,
    n_rows INTEGER NOT NULL,
    PRIMARY KEY (is_tls, domain)
) WITHOUT ROWID;

-- Messages that came and what DMARC said of them; those that differ in nothing are one row.
CREATE TABLE evaluation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    policy_domain TEXT NOT NULL,
    hour INTEGER NOT NULL,           -- since 1970
    last_unix INTEGER NOT NULL,
    interval_hours INTEGER NOT NULL,
    record TEXT NOT NULL,            -- the policy as it was published
    is_optional INTEGER NOT NULL,    -- no reason for a report by itself
    source_ip TEXT NOT NULL,
    is_rejected INTEGER NOT NULL,
    is_dkim_aligned INTEGER NOT NULL,
    is_spf_aligned INTEGER NOT NULL,
    overrides TEXT NOT NULL,         -- words with a space between them
    header_from TEXT NOT NULL,
    envelope_from TEXT NOT NULL,
    envelope_to TEXT NOT NULL,
    spf_domain TEXT NOT NULL,        -- empty: SPF was not asked
    is_spf_helo INTEGER NOT NULL,
    spf TEXT NOT NULL,
    dkim TEXT NOT NULL,              -- per signature a line: result, domain, selector
    messages INTEGER NOT NULL,
    UNIQUE (policy_domain, hour, source_ip, header_from, envelope_from, envelope_to, is_optional,
            is_rejected, is_dkim_aligned, is_spf_aligned, overrides, spf_domain, is_spf_helo, spf,
            dkim, record)
);
CREATE INDEX evaluation_hour ON evaluation (hour);
CREATE TABLE evaluation_total (
    policy_domain TEXT PRIMARY KEY,
    n_rows INTEGER NOT NULL
) WITHOUT ROWID;

-- TLS of our deliveries, per day (of UTC, since 1970).
CREATE TABLE tls_result (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    policy_domain TEXT NOT NULL,     -- the recipient domain, or a host of its MX records
    day INTEGER NOT NULL,
    recipient_domain TEXT NOT NULL,
    is_host INTEGER NOT NULL,
    policy_type INTEGER NOT NULL,    -- 0 none, 1 TLSA, 2 STS
    policy_strings TEXT NOT NULL,    -- a line each
    mx_hosts TEXT NOT NULL,          -- a line each
    successes INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    UNIQUE (day, policy_domain, recipient_domain, is_host, policy_type, policy_strings, mx_hosts)
);
CREATE TABLE tls_failure (
    result INTEGER NOT NULL REFERENCES tls_result,
    result_type TEXT NOT NULL,
    sending_ip TEXT NOT NULL,
    mx_host TEXT NOT NULL,
    mx_helo TEXT NOT NULL,
    receiving_ip TEXT NOT NULL,
    additional TEXT NOT NULL,
    reason_code TEXT NOT NULL,
    sessions INTEGER NOT NULL,
    PRIMARY KEY (result, result_type, sending_ip, mx_host, mx_helo, receiving_ip, additional,
                 reason_code)
) WITHOUT ROWID;

-- Addresses that get no reports for a while.
CREATE TABLE suppressed (
    is_tls INTEGER NOT NULL,
    address TEXT NOT NULL,           -- lower case
    until_unix INTEGER NOT NULL,
    comment TEXT NOT NULL,
    PRIMARY KEY (is_tls, address)
) WITHOUT ROWID;
