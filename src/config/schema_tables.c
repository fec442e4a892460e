#include "config/schema.h"

#define TABLE(schema_name, array) static const struct schema schema_name = {array, COUNT(array)}
#define R(name, type, doc) {name, FIELD_##type, FIELD_STRING, NULL, false, doc}
#define O(name, type, doc) {name, FIELD_##type, FIELD_STRING, NULL, true, doc}
#define R_STRUCT(name, of, doc) {name, FIELD_STRUCT, FIELD_STRING, &of, false, doc}
#define O_STRUCT(name, of, doc) {name, FIELD_STRUCT, FIELD_STRING, &of, true, doc}
#define R_STRINGS(name, doc) {name, FIELD_LIST, FIELD_STRING, NULL, false, doc}
#define O_STRINGS(name, doc) {name, FIELD_LIST, FIELD_STRING, NULL, true, doc}
#define O_LIST(name, of, doc) {name, FIELD_LIST, FIELD_STRUCT, &of, true, doc}
#define R_MAP(name, of, doc) {name, FIELD_MAP, FIELD_STRUCT, &of, false, doc}
#define O_MAP(name, of, doc) {name, FIELD_MAP, FIELD_STRUCT, &of, true, doc}
#define O_TEXTS(name, doc) {name, FIELD_MAP, FIELD_STRING, NULL, true, doc}

/* --- mox.conf ----------------------------------------------------------------------------------- */

static const struct field ca_fields[] = {
    O("AdditionalToSystem", BOOL, "Trust the system's authorities as well as those of CertFiles."),
    O_STRINGS("CertFiles", "PEM files with certificates of authorities, relative to this file's directory. They are read once, "
                           "when the server starts."),
};
TABLE(ca, ca_fields);
static const struct field global_tls_fields[] = {
    O_STRUCT("CA", ca, "Authorities to trust for outgoing TLS, instead of the system's."),
};
TABLE(global_tls, global_tls_fields);

static const struct field eab_fields[] = {
    R("KeyID", STRING, "Identifier of the key, as the certificate authority gave it."),
    R("KeyFile", STRING, "File with the key in base64url, relative to this file's directory."),
};
TABLE(eab, eab_fields);
static const struct field dns_update_fields[] = {
    R("Server", STRING, "Address of the server that takes updates, by TCP."),
    O("Port", INT, "Default: 53."),
    R("Zone", STRING, "Zone that is updated. It must have all names that certificates are requested for."),
    R("KeyName", STRING, "Name of the key, as the server knows it."),
    R("KeyFile", STRING, "File with the key in base64, relative to this file's directory and below it."),
};
TABLE(dns_update, dns_update_fields);
static const struct field acme_fields[] = {
    R("DirectoryURL", STRING, "For example https://acme-v02.api.letsencrypt.org/directory."),
    O("RenewBefore", DURATION, "How long before the end a certificate is renewed. Default: 720h."),
    R("ContactEmail", STRING, "Where the authority may write about your certificates."),
    O("Port", INT, "Port at which tls-alpn-01 is answered. Authorities connect to 443, so another "
                   "port needs a redirect. Default: 443."),
    O("IssuerDomainName", STRING, "For suggested CAA records. Default for Let's Encrypt: "
                                  "letsencrypt.org."),
    O("DNSHook", STRING, "Program that sets records for dns-01, which then is the only challenge that is used. It is run as "
                         "User with the words set or clear, the record's name and its text, and ends when the record can be "
                         "seen, within five minutes. Started by root, the server closes this file's directory to User: the "
                         "program lies elsewhere then, such as /usr/local/sbin/set-record."),
    O_STRUCT("DNSUpdate", dns_update, "Server that takes updates of the DNS (RFC 2136), signed with a key for hmac-sha256 (TSIG), for "
                                      "dns-01, which then is the only challenge that is used."),
    O_STRUCT("ExternalAccountBinding", eab, "Key for an existing account at the authority."),
};
TABLE(acme, acme_fields);

static const struct field updates_fields[] = {
    R("Domain", STRING, "Newer versions are told in the DNS, in a TXT record of _updates.<domain>."),
    R("ChangelogURL", STRING, "Where what changed is found, by https; ?from=<version> is added."),
    R("PublicKey", STRING, "Ed25519 key in base64 that signs it, as \"mox updates pubkey\" prints."),
};
TABLE(updates, updates_fields);

static const struct field key_cert_fields[] = {
    R("CertFile", STRING, "Certificate and its chain, PEM, relative to this file's directory."),
    R("KeyFile", STRING, "Private key, PEM, relative to this file's directory."),
};
TABLE(key_cert, key_cert_fields);
static const struct field tls_fields[] = {
    O("ACME", STRING, "Name of an ACME section: certificates are requested when needed."),
    O_LIST("KeyCerts", key_cert, "Certificates and keys from files, instead of ACME."),
    O("MinVersion", STRING, "TLSv1.0, TLSv1.1, TLSv1.2 (default) or TLSv1.3."),
    O_STRINGS("HostPrivateKeyFiles", "Private keys for ACME certificates of the host, kept so that "
                                     "DANE records stay valid: RSA 2048 and ECDSA P-256."),
    O("ClientAuthDisabled", BOOL, "Do not ask clients for a certificate."),
};
TABLE(tls, tls_fields);

static const struct field smtp_fields[] = {
    R("Enabled", BOOL, NULL),
    O("Port", INT, "Default: 25."),
    O("NoSTARTTLS", BOOL, "Do not offer STARTTLS."),
    O("RequireSTARTTLS", BOOL, "Take no mail without TLS. Most of the Internet's servers can do "
                               "TLS, some cannot."),
    O("NoRequireTLS", BOOL, "Do not offer the REQUIRETLS extension."),
    O_STRINGS("DNSBLs", "Block lists of addresses to look senders up in, such as "
                        "sbl.spamhaus.org. Used when there is no other evidence."),
    O("FirstTimeSenderDelay", DURATION, "How long a message of an unknown sender is kept waiting. "
                                        "Default: 15s."),
    O("TLSSessionTicketsDisabled", BOOL, "Default: true; some senders fail with tickets."),
};
TABLE(smtp, smtp_fields);
static const struct field submission_fields[] = {
    R("Enabled", BOOL, NULL),
    O("Port", INT, "Default: 587."),
    O("NoRequireSTARTTLS", BOOL, "Allow passwords without TLS. Only for tests."),
};
TABLE(submission, submission_fields);
static const struct field submissions_fields[] = {
    R("Enabled", BOOL, NULL),
    O("Port", INT, "Default: 465."),
    O("EnabledOnHTTPS", BOOL, "Also answer on port 443, for clients that ask for \"smtp\" with ALPN."),
};
TABLE(submissions, submissions_fields);
static const struct field imap_fields[] = {
    R("Enabled", BOOL, NULL),
    O("Port", INT, "Default: 143."),
    O("NoRequireSTARTTLS", BOOL, "Allow passwords without TLS. Only for tests."),
};
TABLE(imap, imap_fields);
static const struct field imaps_fields[] = {
    R("Enabled", BOOL, NULL),
    O("Port", INT, "Default: 993."),
    O("EnabledOnHTTPS", BOOL, "Also answer on port 443, for clients that ask for \"imap\" with ALPN."),
};
TABLE(imaps, imaps_fields);
static const struct field web_service_fields[] = {
    R("Enabled", BOOL, NULL),
    O("Port", INT, "Default: 80, with TLS 443."),
    O("Path", STRING, "Where the service is; begins with a slash."),
    O("Forwarded", BOOL, "Believe X-Forwarded-For and -Proto: behind a reverse proxy only."),
};
TABLE(web_service, web_service_fields);
static const struct field port_fields[] = {
    R("Enabled", BOOL, NULL),
    O("Port", INT, NULL),
};
TABLE(port, port_fields);
static const struct field web_policy_fields[] = {
    R("Enabled", BOOL, NULL),
    O("Port", INT, "Default: 443."),
    O("NonTLS", BOOL, "Answer plain HTTP: behind a reverse proxy only."),
    O("Forwarded", BOOL, "Believe X-Forwarded-For and -Proto: behind a reverse proxy only."),
};
TABLE(web_policy, web_policy_fields);
static const struct field webserver_fields[] = {
    R("Enabled", BOOL, NULL),
    O("Port", INT, "Default: 80, with TLS 443."),
    O("RateLimitDisabled", BOOL, "Do not limit requests per address."),
};
TABLE(webserver, webserver_fields);

static const struct field listener_fields[] = {
    R_STRINGS("IPs", "Addresses to listen on. 0.0.0.0 and :: mean all; naming them one by one is "
                     "better, since outgoing mail then leaves from the same address."),
    O_STRINGS("NATIPs", "The public addresses, when the IPs above are behind NAT."),
    O("IPsNATed", BOOL, "Deprecated: use NATIPs."),
    O("Hostname", STRING, "Name used in greetings and certificates. Default: Hostname of the "
                          "server."),
    O_STRUCT("TLS", tls, "Needed for everything that is encrypted."),
    O("SMTPMaxMessageSize", INT, "In bytes, for incoming and submitted mail. Default: 104857600."),
    O_STRUCT("SMTP", smtp, "Mail from other servers."),
    O_STRUCT("Submission", submission, "Mail from users, with STARTTLS."),
    O_STRUCT("Submissions", submissions, "Mail from users, with TLS from the start."),
    O_STRUCT("IMAP", imap, "Reading mail, with STARTTLS."),
    O_STRUCT("IMAPS", imaps, "Reading mail, with TLS from the start."),
    O_STRINGS("ProxyProtocolFrom", "Addresses or networks of load balancers, which begin every connection to a "
                                   "port for HTTP with a header of the PROXY protocol, version 1 or 2. Nobody else may."),
    O_STRUCT("AccountHTTP", web_service, "Account pages. Default path: /."),
    O_STRUCT("AccountHTTPS", web_service, "Account pages with TLS. Default path: /."),
    O_STRUCT("AdminHTTP", web_service, "Admin pages. Default path: /admin/."),
    O_STRUCT("AdminHTTPS", web_service, "Admin pages with TLS. Default path: /admin/."),
    O_STRUCT("WebmailHTTP", web_service, "Webmail. Default path: /webmail/."),
    O_STRUCT("WebmailHTTPS", web_service, "Webmail with TLS. Default path: /webmail/."),
    O_STRUCT("WebAPIHTTP", web_service, "HTTP API. Default path: /webapi/."),
    O_STRUCT("WebAPIHTTPS", web_service, "HTTP API with TLS. Default path: /webapi/."),
    O_STRUCT("MetricsHTTP", port, "Prometheus metrics. Default port: 8010."),
    O_STRUCT("PprofHTTP", port, "Profiling. Default port: 8011."),
    O_STRUCT("AutoconfigHTTPS", web_policy, "Settings for mail clients."),
    O_STRUCT("MTASTSHTTPS", web_policy, "MTA-STS policies of domains."),
    O_STRUCT("WebserverHTTP", webserver, "Web sites of domains.conf."),
    O_STRUCT("WebserverHTTPS", webserver, "Web sites of domains.conf, with TLS."),
};
TABLE(listener, listener_fields);

static const struct field postmaster_fields[] = {
    R("Account", STRING, NULL),
    R("Mailbox", STRING, "Such as Postmaster."),
};
TABLE(postmaster, postmaster_fields);
static const struct field host_tlsrpt_fields[] = {
    R("Account", STRING, NULL),
    R("Mailbox", STRING, "Such as TLSRPT."),
    R("Localpart", STRING, "Reports arrive at this localpart at Hostname."),
};
TABLE(host_tlsrpt, host_tlsrpt_fields);
static const struct field special_use_fields[] = {
    O("Sent", STRING, NULL),  O("Archive", STRING, NULL), O("Trash", STRING, NULL),
    O("Draft", STRING, NULL), O("Junk", STRING, NULL),
};
TABLE(special_use, special_use_fields);
static const struct field initial_mailboxes_fields[] = {
    O_STRUCT("SpecialUse", special_use, "Names of mailboxes with a special use."),
    O_STRINGS("Regular", "Further mailboxes."),
};
TABLE(initial_mailboxes, initial_mailboxes_fields);

static const struct field transport_auth_fields[] = {
    R("Username", STRING, NULL),
    R("Password", STRING, NULL),
    O_STRINGS("Mechanisms", "In order of preference. Default: SCRAM-SHA-256-PLUS, SCRAM-SHA-256, "
                            "SCRAM-SHA-1-PLUS, SCRAM-SHA-1, CRAM-MD5."),
};
TABLE(transport_auth, transport_auth_fields);
static const struct field transport_smtp_fields[] = {
    R("Host", STRING, NULL),
    O("Port", INT, "Default: 465 for Submissions, 587 for Submission, 25 for SMTP."),
    O("STARTTLSInsecureSkipVerify", BOOL, "Do not verify the certificate."),
    O("NoSTARTTLS", BOOL, "Do not use TLS even if it is offered."),
    O_STRUCT("Auth", transport_auth, "Log in before sending."),
};
TABLE(transport_smtp, transport_smtp_fields);
static const struct field transport_socks_fields[] = {
    R("Address", STRING, "host:port of the SOCKS5 proxy."),
    R_STRINGS("RemoteIPs", "Addresses that the proxy connects from, for SPF advice."),
    R("RemoteHostname", STRING, "Name of those addresses, used in EHLO."),
};
TABLE(transport_socks, transport_socks_fields);
static const struct field transport_direct_fields[] = {
    O("DisableIPv4", BOOL, NULL),
    O("DisableIPv6", BOOL, NULL),
};
TABLE(transport_direct, transport_direct_fields);
static const struct field transport_fail_fields[] = {
    O("SMTPCode", INT, "4xx or 5xx. Default: 554."),
    O("SMTPMessage", STRING, "Text of the reply."),
};
TABLE(transport_fail, transport_fail_fields);
static const struct field transport_fields[] = {
    O_STRUCT("Submissions", transport_smtp, "Submission with TLS from the start."),
    O_STRUCT("Submission", transport_smtp, "Submission with STARTTLS."),
    O_STRUCT("SMTP", transport_smtp, "Plain SMTP to a relay."),
    O_STRUCT("Socks", transport_socks, "Direct delivery through a proxy."),
    O_STRUCT("Direct", transport_direct, "Direct delivery with restrictions."),
    O_STRUCT("Fail", transport_fail, "Refuse."),
};
TABLE(transport, transport_fields);

static const struct field static_fields[] = {
    R("DataDir", STRING, "Where mail and databases are; relative to this file's directory."),
    R("LogLevel", STRING, "error, warn, info, debug, trace, traceauth or tracedata."),
    O_TEXTS("PackageLogLevels", "Levels of single packages, such as smtpserver or imapserver."),
    O("User", STRING, "User that the server runs as, by name or number. Default: mox."),
    O("NoFixPermissions", BOOL, "Leave owners and modes of files alone at start."),
    R("Hostname", STRING, "Full name of this machine, such as mail.example.org; with non-ASCII "
                          "letters as they are, not as xn--."),
    O("CheckUpdates", BOOL, "Look for a newer version once a day, where Updates says; it is told to the "
                            "postmaster."),
    O_STRUCT("Updates", updates, "Who publishes versions of this program."),
    O("Pedantic", BOOL, "Refuse what standards forbid but others tolerate."),
    O_STRUCT("TLS", global_tls, "For outgoing connections."),
    O_MAP("ACME", acme, "Certificate authorities, by a name of your choice."),
    O("AdminPasswordFile", STRING, "File with the hash of the admin password."),
    R_MAP("Listeners", listener, "Addresses and the services on them, by name. The one named "
                                 "public is the one that DNS records point to."),
    R_STRUCT("Postmaster", postmaster, "Who gets mail for postmaster."),
    O_STRUCT("HostTLSRPT", host_tlsrpt, "Who gets TLS reports about this host."),
    O_STRUCT("InitialMailboxes", initial_mailboxes, "Mailboxes of a new account, besides Inbox."),
    O_STRINGS("DefaultMailboxes", "Deprecated: use InitialMailboxes."),
    O_MAP("Transports", transport, "Ways of delivering mail other than directly; see Routes in "
                                   "domains.conf."),
    O("NoOutgoingDMARCReports", BOOL, "Send no DMARC reports."),
    O("NoOutgoingTLSReports", BOOL, "Send no TLS reports."),
    O("OutgoingTLSReportsForAllSuccess", BOOL, "Send TLS reports without failures too."),
    O("QuotaMessageSize", INT, "Bytes of messages per account; 0 means no limit."),
};
const struct schema schema_static = {static_fields, COUNT(static_fields)};

/* --- domains.conf ------------------------------------------------------------------------------- */

static const struct field canonicalization_fields[] = {
    R("HeaderRelaxed", BOOL, NULL),
    R("BodyRelaxed", BOOL, NULL),
};
TABLE(canonicalization, canonicalization_fields);
static const struct field selector_fields[] = {
    O("Hash", STRING, "sha256 (default). Signatures by sha1 are no longer made, nor accepted by "
                         "others (RFC 8301): sha1 means sha256."),
    O_STRUCT("Canonicalization", canonicalization, NULL),
    O_STRINGS("Headers", "Fields to sign; From must be among them."),
    O("DontSealHeaders", BOOL, "Allow fields to be added to a signed message."),
    O("Expiration", STRING, "How long signatures are valid, such as 72h."),
    R("PrivateKeyFile", STRING, "PKCS8 PEM file, RSA or ed25519, below this file's directory and "
                                "relative to it."),
};
TABLE(selector, selector_fields);
static const struct field dkim_fields[] = {
    O_MAP("Selectors", selector, NULL),
    O_STRINGS("Sign", "Selectors to sign with."),
};
TABLE(dkim, dkim_fields);
static const struct field report_fields[] = {
    R("Localpart", STRING, "Reports arrive at this localpart."),
    O("Domain", STRING, "At this domain. Default: this one."),
    R("Account", STRING, NULL),
    R("Mailbox", STRING, NULL),
};
TABLE(report, report_fields);
static const struct field mtasts_fields[] = {
    R("PolicyID", STRING, "Must change with the policy."),
    R("Mode", STRING, "none, testing or enforce."),
    R("MaxAge", DURATION, "How long others remember the policy."),
    O_STRINGS("MX", "Names of mail servers. Default: the hostname."),
};
TABLE(mtasts, mtasts_fields);
static const struct field route_fields[] = {
    O_STRINGS("FromDomain", "Domains of the sender; one with a dot before it includes subdomains."),
    O_STRINGS("ToDomain", "Domains of the recipient, likewise."),
    O("MinimumAttempts", INT, "Use only after this many failed attempts."),
    R("Transport", STRING, "Name of a transport of mox.conf."),
};
TABLE(route, route_fields);
static const struct field alias_fields[] = {
    R_STRINGS("Addresses", "Members: addresses of accounts of this server, or at other servers, to which messages are "
                           "passed on."),
    O("PostPublic", BOOL, "Everyone may write to it, not only members."),
    O("ListMembers", BOOL, "Members may see who the others are."),
    O("AllowMsgFrom", BOOL, "Members may send as this address."),
};
TABLE(alias, alias_fields);
static const struct field domain_fields[] = {
    O("Disabled", BOOL, "Take no mail for it and request no certificates."),
    O("Description", STRING, NULL),
    O("ClientSettingsDomain", STRING, "Name that clients connect to, instead of the hostname."),
    O("LocalpartCatchallSeparator", STRING, "What comes after it in a localpart is ignored, so "
                                            "that user+x is user."),
    O_STRINGS("LocalpartCatchallSeparators", "Several of these, instead of the one above."),
    O("LocalpartCaseSensitive", BOOL, "Upper and lower case make different addresses."),
    O_STRUCT("DKIM", dkim, "Signatures on outgoing mail."),
    O_STRUCT("DMARC", report, "Who gets DMARC reports about this domain."),
    O_STRUCT("MTASTS", mtasts, "Policy that others use to require TLS."),
    O_STRUCT("TLSRPT", report, "Who gets TLS reports about this domain."),
    O_LIST("Routes", route, "For mail from this domain."),
    O_MAP("Aliases", alias, "Addresses that go to several accounts, by localpart."),
};
TABLE(domain, domain_fields);

static const struct field outgoing_webhook_fields[] = {
    R("URL", STRING, NULL),
    O("Authorization", STRING, "Value of the Authorization header."),
    O_STRINGS("Events", "delivered, suppressed, delayed, failed, relayed, expanded, canceled, "
                        "unrecognized. Default: all."),
};
TABLE(outgoing_webhook, outgoing_webhook_fields);
static const struct field incoming_webhook_fields[] = {
    R("URL", STRING, NULL),
    O("Authorization", STRING, "Value of the Authorization header."),
};
TABLE(incoming_webhook, incoming_webhook_fields);
static const struct field ruleset_fields[] = {
    O("SMTPMailFromRegexp", STRING, "Matches the envelope's sender."),
    O("MsgFromRegexp", STRING, "Matches the address of the From header."),
    O("VerifiedDomain", STRING, "Domain, or a parent of it, that SPF or DKIM verified."),
    O_TEXTS("HeadersRegexp", "Header names and values, both as expressions in lower case."),
    O("IsForward", BOOL, "The sender is verified by the forwarding domain."),
    O("ListAllowDomain", STRING, "Mailing list: accept without filtering when this domain is "
                                 "verified."),
    O("AcceptRejectsToMailbox", STRING, "Accept what would be rejected, into this mailbox."),
    R("Mailbox", STRING, "Where matching messages go."),
    O("Comment", STRING, NULL),
};
TABLE(ruleset, ruleset_fields);
static const struct field destination_fields[] = {
    O("Mailbox", STRING, "Default: Inbox."),
    O_LIST("Rulesets", ruleset, "The first that matches decides."),
    O("SMTPError", STRING, "Refuse mail: 421 or 550, and a text."),
    O("MessageAuthRequiredSMTPError", STRING, "Refuse mail whose sender is not verified, with this "
                                              "text."),
    O("FullName", STRING, "For the From header in webmail."),
};
TABLE(destination, destination_fields);
static const struct field subject_pass_fields[] = {
    R("Period", DURATION, "How long a token in the subject lets a rejected sender through."),
};
TABLE(subject_pass, subject_pass_fields);
static const struct field junk_flags_fields[] = {
    R("Enabled", BOOL, NULL),
    O("JunkMailboxRegexp", STRING, "Messages moved to these mailboxes are junk."),
    O("NeutralMailboxRegexp", STRING, "Messages here are neither."),
    O("NotJunkMailboxRegexp", STRING, "Messages moved to these mailboxes are not junk."),
};
TABLE(junk_flags, junk_flags_fields);
static const struct field junk_params_fields[] = {
    O("Onegrams", BOOL, "Learn single words."),
    O("Twograms", BOOL, "Learn pairs of words."),
    O("Threegrams", BOOL, "Learn three words in a row."),
    R("MaxPower", FLOAT, "Strongest influence of one word: 0 to 0.5."),
    R("TopWords", INT, "How many of the strongest words count on each side."),
    O("IgnoreWords", FLOAT, "Words that say less than this are left out: 0 to 0.5."),
    O("RareWords", INT, "Words seen this often or less count for little."),
};
TABLE(junk_params, junk_params_fields);
static const struct field junk_filter_fields[] = {
    R("Threshold", FLOAT, "Probability from which a message is junk: 0 to 1."),
    O("Method", STRING, "evidence (the default): all evidence of a message decides; words: upstream's formula, "
                        "by Params."),
    R_STRUCT("Params", junk_params, NULL),
};
TABLE(junk_filter, junk_filter_fields);
static const struct field account_fields[] = {
    O_STRUCT("OutgoingWebhook", outgoing_webhook, "Tell a web server what became of sent mail."),
    O_STRUCT("IncomingWebhook", incoming_webhook, "Tell a web server about received mail."),
    O_STRINGS("FromIDLoginAddresses", "Logins whose messages get an identifier in the envelope."),
    O("KeepRetiredMessagePeriod", DURATION, "How long sent messages stay listed."),
    O("KeepRetiredWebhookPeriod", DURATION, "How long made calls stay listed."),
    O("LoginDisabled", STRING, "Nobody may log in; the text says why."),
    R("Domain", STRING, "Default domain of the account."),
    O("Description", STRING, NULL),
    O("FullName", STRING, "For the From header in webmail."),
    O_MAP("Destinations", destination, "Addresses of the account; @domain takes all others of a "
                                       "domain."),
    O_STRUCT("SubjectPass", subject_pass, NULL),
    O("QuotaMessageSize", INT, "Bytes of messages; negative means no limit."),
    O("RejectsMailbox", STRING, "Copies of rejected messages go here."),
    O("KeepRejects", BOOL, "Do not clean that mailbox."),
    O("Introbox", STRING, "Mailbox for the first message of a sender."),
    O_STRUCT("AutomaticJunkFlags", junk_flags, "Set junk flags by mailbox."),
    O_STRUCT("JunkFilter", junk_filter, "Filter that learns from the user."),
    O("MaxOutgoingMessagesPerDay", INT, "Default: 1000."),
    O("MaxFirstTimeRecipientsPerDay", INT, "Default: 200."),
    O("NoFirstTimeSenderDelay", BOOL, "Do not keep unknown senders waiting."),
    O("NoCustomPassword", BOOL, "Users get generated passwords only."),
    O_STRINGS("IMAPCapabilitiesDisabled", "Not announced to this account's mail programs, and not enabled: names in upper case."),
    O_LIST("Routes", route, "For mail of this account."),
};
TABLE(account, account_fields);

static const struct field web_static_fields[] = {
    O("StripPrefix", STRING, "Removed from the path before the file is looked up."),
    R("Root", STRING, "Directory of the files."),
    O("ListFiles", BOOL, "List a directory that has no index.html."),
    O("ContinueNotFound", BOOL, "Let the next handler try when there is no file."),
    O_TEXTS("ResponseHeaders", NULL),
};
TABLE(web_static, web_static_fields);
static const struct field web_redirect_fields[] = {
    O("BaseURL", STRING, "Where to; the path is kept."),
    O("OrigPathRegexp", STRING, "Replace what matches in the path..."),
    O("ReplacePath", STRING, "...with this."),
    O("StatusCode", INT, "Default: 308."),
};
TABLE(web_redirect, web_redirect_fields);
static const struct field web_forward_fields[] = {
    O("StripPath", BOOL, "Remove the matching part of the path."),
    R("URL", STRING, "http or https address of the other server."),
    O_TEXTS("ResponseHeaders", NULL),
};
TABLE(web_forward, web_forward_fields);
static const struct field web_internal_fields[] = {
    R("BasePath", STRING, "Begins and ends with a slash."),
    R("Service", STRING, "admin, account, webmail or webapi."),
};
TABLE(web_internal, web_internal_fields);
static const struct field web_handler_fields[] = {
    O("LogName", STRING, "For the log and metrics."),
    R("Domain", STRING, NULL),
    R("PathRegexp", STRING, "Begins with ^."),
    O("DontRedirectPlainHTTP", BOOL, "Answer plain HTTP too."),
    O("Compress", BOOL, "Compress answers."),
    O_STRUCT("WebStatic", web_static, "Files."),
    O_STRUCT("WebRedirect", web_redirect, "Another address."),
    O_STRUCT("WebForward", web_forward, "Another server, as a reverse proxy."),
    O_STRUCT("WebInternal", web_internal, "A service of this server."),
};
TABLE(web_handler, web_handler_fields);

static const struct field dynamic_fields[] = {
    R_MAP("Domains", domain, "By name; with non-ASCII letters as they are, not as xn--."),
    R_MAP("Accounts", account, "By name: one user, or one mail store, with any addresses."),
    O_TEXTS("WebDomainRedirects", "From one domain to another, for web pages."),
    O_LIST("WebHandlers", web_handler, "Web sites; the first that matches answers."),
    O_LIST("Routes", route, "For mail of all."),
    O_STRINGS("MonitorDNSBLs", "Block lists to watch for our own addresses."),
};
const struct schema schema_dynamic = {dynamic_fields, COUNT(dynamic_fields)};

static const struct field submit_fields[] = {
    R("LocalHostname", STRING, "Name of this computer, said in EHLO: localhost will do."),
    R("Host", STRING, "Host to submit to."),
    R("Port", INT, "Port there: 465 with TLS, 587 with STARTTLS, 25 for neither."),
    O("TLS", BOOL, "TLS from the first byte."),
    O("STARTTLS", BOOL, "TLS by STARTTLS, which must be offered."),
    O("TLSInsecureSkipVerify", BOOL, "Take any certificate."),
    R("Username", STRING, "For logging in, usually an email address."),
    O("Password", STRING, "Of that user. One of Password, ClientAuthEd25519PrivateKey and "
                          "ClientAuthCertPrivateKeyPEMFile is set."),
    O("ClientAuthEd25519PrivateKey", STRING, "Log in with a certificate for this key, whose public "
                                             "half the account has: 32 octets in base64url."),
    O("ClientAuthCertPrivateKeyPEMFile", STRING, "Log in with this certificate and its private key, "
                                                 "in one file, PEM."),
    O("AuthMethod", STRING, "EXTERNAL, SCRAM-SHA-256-PLUS, SCRAM-SHA-256, SCRAM-SHA-1-PLUS, "
                            "SCRAM-SHA-1, CRAM-MD5, PLAIN or LOGIN. Empty: the first of these but LOGIN "
                            "that the server offers; PLAIN only with TLS."),
    R("From", STRING, "Address of the sender, in the envelope and in the From header."),
    O("DefaultDestination", STRING, "Where mail for names without a domain goes, such as \"root\"."),
    O("RequireTLS", STRING, "yes: only by way of servers with verified TLS (REQUIRETLS). no: delivery "
                            "is more important than TLS (TLS-Required: No)."),
};
const struct schema schema_submit = {submit_fields, COUNT(submit_fields)};
