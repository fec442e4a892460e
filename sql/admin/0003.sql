-- How many reports a sender's domain has sent about one of ours lately is asked with each.
CREATE INDEX dmarc_report_sender ON dmarc_report (domain, from_domain, received_unix);
CREATE INDEX tls_report_sender ON tls_report (domain, from_domain, received_unix);
