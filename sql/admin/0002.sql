-- To whom the TLS of a day with a recipient domain was reported: addresses with a space between them. They
-- need not hear the same of their hosts again.
ALTER TABLE tls_result ADD COLUMN reported_to TEXT NOT NULL DEFAULT '';
