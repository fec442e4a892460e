-- TLS reports for web servers, until these have taken them (RFC 8460 5.4 and 5.5).
CREATE TABLE web_report (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    url TEXT NOT NULL,
    domain TEXT NOT NULL, -- that it is about
    body BLOB NOT NULL,
    created_unix INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_unix INTEGER NOT NULL
);
CREATE INDEX web_report_next ON web_report (next_unix);
