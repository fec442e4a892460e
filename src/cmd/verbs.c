#include "cmd/verbs.h"

#include "base/compiler.h"

const struct cmd cmd_verbs[] = {
    {"serve", "[-without-landlock]", "Start the mail server with the configuration in mox.conf.\n\n"
     "Serves until stopped with SIGINT, SIGTERM or \"mox stop\", and logs to standard error. Changes of\n"
     "domains.conf and of certificates are taken over within a second, or at once with SIGHUP; mox.conf is\n"
     "read at the start only. Started by root it binds ports and opens files; all that talks to others\n"
     "runs as User of mox.conf. On a kernel without Landlock it starts only with -without-landlock: files\n"
     "are then kept from a broken process by their owners alone, and the accounts have one owner.",
     cmd_serve, false},
    {"quickstart", "[-skipdial] [-existing-webserver] [-hostname host] user@domain [user | uid]",
     "Set up a new mail server: configuration, keys, an account, and what the DNS needs.\n\n"
     "Writes config/mox.conf, config/domains.conf, keys below config, data and a unit for systemd into the\n"
     "current directory, or where -config says. Nothing that is there is written over, and what was written\n"
     "is removed again when a later step fails. Prints the passwords of the account and of the admin, which\n"
     "are kept nowhere else, settings for mail clients and the DNS records to enter. Without a DNS that\n"
     "answers there are warnings instead of checks.\n\n"
     "The server's processes run as user, by default mox, which is to be made. -hostname names this machine,\n"
     "if it does not know its full name. With -existing-webserver another program has ports 80 and 443 and\n"
     "gets the certificates. -skipdial does not try to reach port 25 of another server, and does\n"
     "not ask how old the domain is.",
     cmd_quickstart, false},
    {"stop", "", "Stop a running server.\n\n"
     "Connections get a few seconds to end. Returns when the server has.", cmd_stop, false},
    {"setaccountpassword", "account", "Set a new password for an account.\n\n"
     "The password is read from standard input, one line, at least 8 bytes.",
     cmd_setaccountpassword, false},
    {"setadminpassword", "", "Set a new password for the admin's pages.\n\n"
     "The password is read from standard input, one line, at least 8 bytes. Its hash is written to\n"
     "AdminPasswordFile of mox.conf.", cmd_setadminpassword, false},
    {"clientconfig", "domain", "Print the settings for mail clients of a domain.", cmd_clientconfig, false},
    {"loglevels", "[level [pkg]]", "Print the log levels, or set one.\n\n"
     "With a level, sets the default or that of a package, such as imapserver, until the server\n"
     "stops. An empty level takes a package's own level away. Levels: error, warn, info, debug,\n"
     "trace, traceauth, tracedata.", cmd_loglevels, false},
    {"sendmail", "[flags] (-t | recipient ...) <message", "Submit a message, as other programs expect of sendmail.\n\n"
     "It goes to the server of /etc/moxsubmit.conf (see \"config describe-sendmail\"), from its address:\n"
     "a From header is replaced. With -t the recipients are those of To, Cc and Bcc, of which Bcc is not\n"
     "sent. A recipient without a domain is DefaultDestination. Other flags are ignored. A message that\n"
     "cannot be submitted for all of them is kept in ~/moxsubmit.failures, and the exit code is 1.\n\n"
     "Started by the name sendmail, by a symbolic link, the program does the same. With a group of its\n"
     "own that may read moxsubmit.conf, and set-group-id, its users need not know the password; all other\n"
     "commands are refused then.", cmd_sendmail, false},
    {"queue list", "[filterflags] [-sort nextattempt|queued] [-asc]",
     "List messages in the delivery queue.\n\n"
     "Per message: number, when it was queued, sender, recipient, time to the next and since the\n"
     "last attempt, and what went wrong then. The last to be tried come first, or with -asc last.\n\n"
     "These flags choose messages, here and in the commands that change them:\n\n"
     "    -ids n,n                 by number\n"
     "    -n max                   at most so many\n"
     "    -account name            of an account\n"
     "    -from text, -to text     a part of the address, a whole domain: @example.org, or exactly\n"
     "                             this: \"<ann@example.org>\"\n"
     "    -hold true|false         on hold, or not\n"
     "    -submitted time, -nextattempt time\n"
     "                             before or after a time from now: \"<-1h\" is more than an hour ago,\n"
     "                             \">now\" to come\n"
     "    -transport name          with this transport",
     cmd_queue_list, false},
    {"queue hold", "[filterflags]", "Put messages on hold.\n\n"
     "They are not tried until \"queue unhold\". Flags as of \"queue list\"; without any, all.",
     cmd_queue_hold, false},
    {"queue unhold", "[filterflags]", "Let messages that are on hold be delivered again.\n\n"
     "Flags as of \"queue list\".", cmd_queue_unhold, false},
    {"queue schedule", "[filterflags] [-now] duration", "Change when messages are tried next.\n\n"
     "Adds the duration, such as 1h30m or -30m, to the time of the next attempt; with -now, sets it to\n"
     "so long from now, so that 0s is at once. Flags as of \"queue list\".", cmd_queue_schedule, false},
    {"queue kick", "[-id id] [-todomain domain] [-recipient address] [-transport transport]",
     "Try messages at once, as scripts for upstream's first version do.\n\n"
     "As \"queue schedule -now 0s\", and with -transport first \"queue transport\". Without flags, all.",
     cmd_queue_kick, false},
    {"queue transport", "[filterflags] transport", "Set the transport of messages.\n\n"
     "Its name in mox.conf, or \"\" for what the routes say. Flags as of \"queue list\".",
     cmd_queue_transport, false},
    {"queue requiretls", "[filterflags] yes|no|default", "Set what TLS messages need.\n\n"
     "yes: verified TLS and REQUIRETLS all the way; no: whatever there is, policies are ignored;\n"
     "default: as the recipient's policy says. Flags as of \"queue list\".", cmd_queue_requiretls, false},
    {"queue fail", "[filterflags]", "Fail delivery of messages.\n\n"
     "As if the last attempt had failed: their senders are told that delivery was canceled. Flags as of\n"
     "\"queue list\"; without any, all.", cmd_queue_fail, false},
    {"queue drop", "[filterflags]", "Remove messages from the queue.\n\n"
     "Nobody is told. Flags as of \"queue list\"; without any, all.", cmd_queue_drop, false},
    {"queue dump", "id", "Print a message of the queue.", cmd_queue_dump, false},
    {"queue holdrules list", "", "List rules for holding messages.", cmd_queue_holdrules_list, false},
    {"queue holdrules add", "[-account name] [-senderdom domain] [-recipientdom domain]",
     "Add a rule for holding messages.\n\n"
     "Messages to which all its fields apply are put on hold, those that are in the queue and those to\n"
     "come; a rule without any holds everything.", cmd_queue_holdrules_add, false},
    {"queue holdrules remove", "id", "Remove a rule for holding messages.\n\n"
     "What is on hold stays so: see \"queue unhold\".", cmd_queue_holdrules_remove, false},
    {"queue retired list", "[filterflags] [-sort lastactivity|queued] [-asc]",
     "List messages that were delivered or have failed.\n\n"
     "They are kept for an account's KeepRetiredMessagePeriod. Flags as of \"queue list\", but no -hold\n"
     "and -nextattempt; instead -lastactivity time, and -result success|failure.",
     cmd_queue_retired_list, false},
    {"queue retired print", "id", "Print what is known of a retired message, as JSON.",
     cmd_queue_retired_print, false},
    {"queue suppress list", "[-account name]", "List recipients that are not written to any more.\n\n"
     "Recipients get on an account's list when their server says that they are not there, after several\n"
     "other failures, or by \"queue suppress add\".", cmd_queue_suppress_list, false},
    {"queue suppress add", "account address", "Add a recipient to an account's suppression list.",
     cmd_queue_suppress_add, false},
    {"queue suppress remove", "account address",
     "Remove a recipient from an account's suppression list.", cmd_queue_suppress_remove, false},
    {"queue suppress lookup", "account address",
     "Look up a recipient in an account's suppression list.", cmd_queue_suppress_lookup, false},
    {"retrain", "[account]", "Train the junk filter of an account, or of all, anew.\n\n"
     "What it learnt is forgotten, and learnt again from the flags $Junk and $NotJunk of all messages.\n"
     "Returns when that has begun; mail is served meanwhile.", cmd_retrain, false},
    {"import mbox", "account mailbox mbox", "Import the messages of an mbox file into a mailbox.\n\n"
     "The mailbox is made if it is not there. Lines \">From\" are unquoted by one level; Status, X-Status\n"
     "and X-Keywords give flags; the \"From \" line gives the time of arrival. Messages are stored in\n"
     "batches. After a failure, import again: what is there already from the same file is not added\n"
     "twice.", cmd_import_mbox, false},
    {"import maildir", "account mailbox maildir", "Import the messages of a maildir into a mailbox.\n\n"
     "Those in new/ and cur/, by their time of arrival. The end of a file's name gives flags, letters by\n"
     "way of dovecot-keywords. As for \"import mbox\", it can be repeated.", cmd_import_maildir, false},
    {"import archive", "[-skipprefix prefix] account archive",
     "Import the mailboxes in a zip, tgz or tar file.\n\n"
     "<mailbox>.mbox is an mbox, <mailbox>/new, cur and tmp a maildir, with the flags of its names and\n"
     "dovecot-keywords. A prefix of the mailboxes' names can be left out. Prints how many messages each\n"
     "mailbox had, and what in the archive is no mail. The archive is read twice, and nothing is stored\n"
     "before all of it was seen to be whole. As for \"import mbox\", it can be repeated.",
     cmd_import_archive, false},
    {"import upstream", "datadir [account ...]", "Take over what is in a data directory of upstream mox.\n\n"
     "Accounts, all of them or those that are named: mailboxes with their UIDVALIDITY, messages with their\n"
     "UIDs, flags and keywords, and subscriptions, so that IMAP clients notice nothing; what is known of\n"
     "senders; their messages in the queue, their suppression lists, keys of clients and attempts to log in.\n"
     "An account without a password gets upstream's. Unless accounts are named also reports, what is\n"
     "gathered for reports to others, rules for holding, and MTA-STS policies.\n\n"
     "The directory is only read. Neither server must be running. The accounts must also be in\n"
     "domains.conf, which is as upstream's. What has no place here is named. It can be repeated, also after\n"
     "it was interrupted: what was taken over is not taken twice. The exit code is 1 when something could\n"
     "not be read.",
     cmd_import_upstream, false},
    {"ximport mbox", "accountdir mailbox mbox", "Import the messages of an mbox file without a server.\n\n"
     "The account is a directory such as data/accounts/name. As \"import mbox\"; the server must not be\n"
     "running.", cmd_ximport_mbox, true},
    {"ximport maildir", "accountdir mailbox maildir", "Import the messages of a maildir without a server.\n\n"
     "As \"ximport mbox\".", cmd_ximport_maildir, true},
    {"export mbox", "[-single] dstdir accountpath [mailbox]", "Export mailboxes as mbox files.\n\n"
     "Writes dstdir/<mailbox>.mbox for all mailboxes of the account, which is a directory such as\n"
     "data/accounts/name, or for one and those below it, with -single only for it. Lines \"From \" are\n"
     "quoted (mboxrd); flags are in Status, X-Status and X-Keywords. The server may be running. A file has\n"
     "its name when it is whole, and one that is there stays as it is: after an interruption, export again.",
     cmd_export_mbox, false},
    {"export maildir", "[-single] dstdir accountpath [mailbox]", "Export mailboxes as maildirs.\n\n"
     "Writes dstdir/<mailbox>/{new,cur,tmp} and dovecot-keywords. As for \"export mbox\"; messages that are\n"
     "there already are not written again.",
     cmd_export_maildir, false},
    {"export archive", "[-format maildir|mbox] [-single] archive accountpath [mailbox]",
     "Export mailboxes into a zip, tgz or tar file.\n\n"
     "What it becomes follows from the end of its name: .zip, .tgz, .tar.gz or .tar. In it are maildirs,\n"
     "or mbox files, as \"export maildir\" and \"export mbox\" write them; messages that cannot be read are\n"
     "named in errors.txt. \"import archive\" reads it. As for \"export mbox\".", cmd_export_archive, false},
    {"config test", "", "Check the configuration files for errors.\n\n"
     "Prints all problems, each as file:line: message, or \"config OK\"; of a file with a line that cannot be\n"
     "read, the first such line only. When both files are right in themselves, certificates, their keys and\n"
     "keys of DKIM are read, and must fit.", cmd_config_test, false},
    {"config describe-static", ">mox.conf", "Print an annotated mox.conf with all fields.",
     cmd_config_describe_static, false},
    {"config describe-domains", ">domains.conf", "Print an annotated domains.conf with all fields.",
     cmd_config_describe_domains, false},
    {"config describe-sendmail", ">/etc/moxsubmit.conf", "Print an annotated moxsubmit.conf with all fields.\n\n"
     "It says how \"sendmail\" submits messages.", cmd_config_describe_sendmail, false},
    {"config printservice", ">mox.service", "Print a unit for systemd.\n\n"
     "For a server in the current directory, with the program in it.", cmd_config_printservice, false},
    {"config example", "[webhandlers | transport]", "Print an example of a part of the configuration.\n\n"
     "Without a name, lists those that there are.", cmd_config_example, false},
    {"config ensureacmehostprivatekeys", "", "Make the private keys that DANE needs, where they are missing.\n\n"
     "Every listener with ACME gets a key of each kind, RSA 2048 and ECDSA P-256, which its certificates are\n"
     "made with from then on, so that the TLSA records stay right. Writes them to hostkeys below the\n"
     "configuration's directory, and prints the lines that mox.conf needs.", cmd_config_ensurekeys, false},
    {"config account list", "", "List all accounts.\n\nOne per line; those whose logins are disabled say so.",
     cmd_account_list, false},
    {"config account addresses", "account", "List the addresses of an account.\n\n"
     "One per line; @domain is all addresses of a domain that are nobody else's.", cmd_account_addresses,
     false},
    {"config account add", "account address", "Add an account with an email address.\n\n"
     "The address must be at a domain of domains.conf. The account gets the usual settings; there is no\n"
     "password until \"setaccountpassword\".", cmd_account_add, false},
    {"config account rm", "account", "Remove an account, and all its mail.\n\n"
     "Its clients are disconnected, and its mail is erased, with what it has in the queue, its password and\n"
     "its TLS public keys. What could not be removed at once is later; another account of that name can be added\n"
     "when all is gone. Refused while something in the configuration needs the account.", cmd_account_rm, false},
    {"config account disable", "account message", "Let nobody log in to an account.\n\n"
     "Who tries is told the message. Mail still arrives.", cmd_account_disable, false},
    {"config account enable", "account", "Let logins to an account succeed again.", cmd_account_enable,
     false},
    {"config address account", "address", "Print whose an address is.\n\n"
     "An address with a catchall separator is that before it; one that nobody has is that of who has\n"
     "@domain.", cmd_address_account, false},
    {"config address add", "address account", "Add an address to an account.\n\n"
     "@domain stands for all addresses of a domain that are nobody else's.", cmd_address_add, false},
    {"config address rm", "address", "Take an address away from its account.\n\n"
     "It leaves all aliases, but not as the last member of one. Refused while a TLS public key logs in\n"
     "with it, or messages that it sent wait in the queue.", cmd_address_rm, false},
    {"config domain add", "[-disabled] domain account [localpart]", "Add a domain.\n\n"
     "Its reports go to the account, which gets the address postmaster@domain; an account that is not\n"
     "there is made, with the address localpart@domain. Two keys for DKIM are made, of which the first\n"
     "signs; \"config dnsrecords\" prints what the DNS needs. With -disabled, no mail is taken yet.", cmd_domain_add, false},
    {"config domain rm", "domain", "Remove a domain.\n\n"
     "Refused while accounts have addresses at it, or a TLS public key logs in with one. Its keys of DKIM\n"
     "in the directory dkim, if no other domain has them, are moved to dkim/old.", cmd_domain_rm, false},
    {"config domain disable", "domain", "Take no mail for a domain, and send none, for now.\n\n"
     "Senders are told to try again later.", cmd_domain_disable, false},
    {"config domain enable", "domain", "Take and send mail of a domain again.\n\nUndoes \"disable\".", cmd_domain_enable, false},
    {"config alias list", "domain", "List the aliases of a domain.\n\nOne address per line.", cmd_alias_list, false},
    {"config alias print", "alias", "Print the settings and members of an alias.", cmd_alias_print, false},
    {"config alias add", "alias member ...", "Add an alias with members.\n\n"
     "Alias and members are email addresses; the members are addresses of accounts, or at other servers.\n"
     "Everybody may write to it; see \"update\".", cmd_alias_add, false},
    {"config alias update", "[-postpublic true|false] [-listmembers true|false] [-allowmsgfrom true|false] alias",
     "Change the settings of an alias.\n\n"
     "With -postpublic false, only members may write to it; with -listmembers true, members see each\n"
     "other; with -allowmsgfrom true, members may write with the alias as their From address.",
     cmd_alias_update, false},
    {"config alias rm", "alias", "Remove an alias.\n\n"
     "Mail to it is refused from then on; its members stay what they are.", cmd_alias_rm, false},
    {"config alias addaddr", "alias member ...", "Add members to an alias.\n\n"
     "Members are addresses of accounts, or at other servers.", cmd_alias_addaddr, false},
    {"config alias rmaddr", "alias member ...", "Remove members from an alias.\n\n"
     "The last one stays: remove the alias instead.", cmd_alias_rmaddr, false},
    {"config dnsrecords", "domain", "Print the DNS records that a domain needs.\n\n"
     "As the lines of a zone file: where its mail goes, who may send and sign in its name, what others\n"
     "are to do with mail that cannot prove it, and where clients connect. Looks whether the name of this\n"
     "server is signed with DNSSEC: only then DANE counts.", cmd_dnsrecords, false},
    {"config dnscheck", "domain", "Check that the DNS has what a domain needs.\n\n"
     "Looks up every record that \"config dnsrecords\" prints, connects to the servers that they lead to, and\n"
     "prints by subject what is wrong (error) or could be better (warning), or \"DNS OK\". Takes half a\n"
     "minute at most to begin with the last server. Exits with 1 when there are errors. Needs no running server, but\n"
     "for the connections.", cmd_dnscheck, false},
    {"config tlspubkey list", "[account]", "List the keys of TLS client certificates that log in.\n\n"
     "Per key: fingerprint, type, name, account, login address, and whether IMAP connections with it\n"
     "are left to log in with EXTERNAL.", cmd_tlspubkey_list, false},
    {"config tlspubkey get", "fingerprint", "Print a key of a TLS client certificate.\n\n"
     "Prints its type, name, account and address, and the certificate as PEM.",
     cmd_tlspubkey_get, false},
    {"config tlspubkey add", "[-no-imap-preauth] address [name] <cert.pem",
     "Let a TLS client certificate's key log in.\n\n"
     "Whoever connects to IMAP or submission with the key is the account of this address. Only the\n"
     "key counts: no date of the certificate, no issuer. The name is by default the certificate's.\n"
     "With -no-imap-preauth, IMAP connections do not begin logged in, which some clients do not\n"
     "understand, but use AUTHENTICATE EXTERNAL.", cmd_tlspubkey_add, false},
    {"config tlspubkey rm", "fingerprint", "Remove a key of a TLS client certificate.",
     cmd_tlspubkey_rm, false},
    {"config tlspubkey gen", "stem", "Make a key and a certificate for a mail client.\n\n"
     "Writes <stem>.<YYYYMMDDhhmm>.ed25519privatekey.pkcs8.pem, .certificate.pem, and\n"
     ".ed25519privatekey-certificate.pem with both, and prints both and the fingerprint on standard\n"
     "error. The certificate is for \"tlspubkey add\"; the rest stays with the client.",
     cmd_tlspubkey_gen, false},
    {"cid", "id", "Print the connection number of a received id.\n\n"
     "The id is that of a Received field, or in parentheses at the end of a reply. The number is\n"
     "printed as the log has it, cid=number. Reads receivedid.key in the data directory.", cmd_cid,
     false},
    {"backup", "[-verbose] destdir", "Make a backup of configuration and data, or bring one up to date.\n\n"
     "Writes destdir/config and destdir/data: each database as it is at one moment. The server may be\n"
     "running. Into the same directory again, only what is new of the messages is written; what is in\n"
     "the backup and no more in the data stays there, with a warning. Whoever reads the backup reads all\n"
     "mail and the private keys.", cmd_backup, false},
    {"restore", "[-keep-uidvalidity] [-verbose] backupdir", "Put back what \"backup\" made.\n\n"
     "The data directory must be empty or missing. The configuration is restored when there is none.\n"
     "Mailboxes get a new UIDVALIDITY, since clients may know of messages that came after the backup;\n"
     "not with -keep-uidvalidity, for a backup that was made after the server had stopped. A restore that\n"
     "was broken off can be begun again; no server starts before it has ended.", cmd_restore,
     false},
    {"bumpuidvalidity", "account [mailbox]", "Make IMAP clients fetch all of an account or mailbox anew.\n\n"
     "Gives the mailboxes a new UIDVALIDITY. The server must not be running.", cmd_bumpuidvalidity, false},
    {"reassignuids", "account [mailbox]", "Give the messages of an account or mailbox new UIDs, from 1 on.\n\n"
     "In their order, and with a new UIDVALIDITY for all mailboxes, so that IMAP clients fetch all anew.\n"
     "The mailbox is a name or an id. The server must not be running.", cmd_reassignuids, false},
    {"fixuidmeta", "account", "Correct UIDNEXT and the next UIDVALIDITY of an account.\n\n"
     "For mailboxes in which a message has a UID that is not below UIDNEXT. See \"bumpuidvalidity\" for\n"
     "clients that have seen one UID on two messages. The server must not be running.", cmd_fixuidmeta,
     false},
    {"fixmsgsize", "[account]", "Correct sizes of messages that are not those of their bytes.\n\n"
     "Of one account or all. The messages are parsed anew, and counts corrected. IMAP clients may have\n"
     "kept the old sizes: see \"bumpuidvalidity\". Done by the server when it runs.", cmd_fixmsgsize, false},
    {"reparse", "[account]", "Parse all messages of an account, or of all, anew.\n\n"
     "Structure, envelope, preview and the fields that are searched for are stored again. Done by the\n"
     "server when it runs; mail goes on meanwhile.", cmd_reparse, false},
    {"ensureparsed", "[-all] account", "Parse the messages of an account whose structure is not stored, or all with -all.\n\n"
     "The structure is stored with each message, so that only damage can have taken it away: \"reparse\" does the\n"
     "same for all messages while the server runs. For this the server must not be running.", cmd_ensureparsed, false},
    {"recalculatemailboxcounts", "account", "Count the messages of an account's mailboxes anew.\n\n"
     "Prints a line for each mailbox whose counts were wrong, and corrects the total size. Done by the\n"
     "server when it runs.", cmd_recalculatemailboxcounts, false},
    {"reassignthreads", "[account]", "Put the messages of an account, or of all, into threads anew.\n\n"
     "As if they had arrived one after the other. Done by the server when it runs, in batches between which\n"
     "mail goes on. After it was interrupted, run it again.", cmd_reassignthreads, false},
    {"openaccounts", "datadir account ...", "Open databases of accounts, so that they are of this version.\n\n"
     "The server does that itself when it opens an account. It must not be running.", cmd_openaccounts, true},
    {"verifydata", "[-fix] [-skip-size-check] [data-dir]", "Check the data of all accounts, the queue and the rest.\n\n"
     "Checks databases, checksums, counts and references, and prints every problem. Exits with 1\n"
     "when there are any. The server may be running.\n\n"
     "With -fix, it must not be: what can be told from the rest of an account's data is corrected first,\n"
     "with a line for each kind. Messages that lost their place come into the mailbox Recovered. Damaged\n"
     "bytes stay damaged: take those messages from a backup. With -skip-size-check, a message may be of\n"
     "another length than is written of it.", cmd_verifydata, false},
    {"message parse", "[-smtputf8] message.eml", "Print the structure of a message as JSON.\n\n"
     "Shows the envelope and the tree of parts with their places in the file; - reads standard\n"
     "input. With -smtputf8 a line after it says whether the message needs servers with SMTPUTF8 (RFC 6531):\n"
     "whether a header, also that of a part, has bytes that are not ASCII.", cmd_message_parse, false},
    {"message why", "account mailbox uid", "Print how a message was decided about.\n\n"
     "A line for each check that had a say, in their order: its result and what it was found by;\n"
     "the last is the decision. Of messages from outside only. The server may be running.",
     cmd_message_why, false},
    {"dkim gened25519", ">$selector._domainkey.$domain.ed25519.privatekey.pkcs8.pem",
     "Generate a new ed25519 private key for DKIM.\n\n"
     "Prints it as PKCS8 PEM. It is for PrivateKeyFile in domains.conf; \"dkim txt\" makes the DNS\n"
     "record of it. Not all receivers verify ed25519 signatures.", cmd_dkim_gened25519, false},
    {"dkim genrsa", ">$selector._domainkey.$domain.rsa2048.privatekey.pkcs8.pem",
     "Generate a new RSA private key of 2048 bits for DKIM.\n\n"
     "Prints it as PKCS8 PEM; as for gened25519.", cmd_dkim_genrsa, false},
    {"dkim lookup", "selector domain", "Look up a key for DKIM signatures in the DNS.\n\n"
     "Prints the record at <selector>._domainkey.<domain>, and whether DNSSEC proves it.",
     cmd_dkim_lookup, false},
    {"dkim sign", "message", "Sign a message with the keys of the domain of its From address.\n\n"
     "Reads the configuration and the key files, and prints the message with a DKIM-Signature for\n"
     "each selector in Sign of the domain.", cmd_dkim_sign, false},
    {"dkim txt", "<$selector._domainkey.$domain.key.pkcs8.pem",
     "Print the DNS record of the public half of a private key on standard input.",
     cmd_dkim_txt, false},
    {"dkim verify", "message", "Verify the DKIM signatures of a message.\n\n"
     "Per signature: status and why, the key record, the field. Lines may end in LF or CR LF.",
     cmd_dkim_verify, false},
    {"dane dial", "[-usages pkix-ta,pkix-ee,dane-ta,dane-ee] host:port",
     "Connect to a server with TLS, verified with its TLSA records.\n\n"
     "Records count that DNSSEC proves, with these usages or with any. With usages of PKIX the certificate must\n"
     "also be one of a public authority. Then copies standard input to the server and what it says to standard\n"
     "output. Needs no running server.",
     cmd_dane_dial, false},
    {"dane dialmx", "[-ehlohostname name] domain [desthost]",
     "Connect to a mail server of a domain, verified with DANE.\n\n"
     "Follows CNAME and MX records, tries the hosts in turn, or only desthost, and shakes hands with\n"
     "STARTTLS; the certificate must match the host's TLSA records. After EHLO, copies standard input\n"
     "to the server and what it says to standard output.", cmd_dane_dialmx, false},
    {"dane makerecord", "usage selector matchtype [pemfile]",
     "Print the data of a TLSA record for a certificate, public key or private key.\n\n"
     "usage: pkix-ta (0), pkix-ee (1), dane-ta (2) or dane-ee (3); selector: cert (0) or spki (1);\n"
     "matchtype: full (0), sha2-256 (1) or sha2-512 (2). For a mail server: dane-ee spki sha2-256.\n"
     "Without a file, reads standard input.", cmd_dane_makerecord, false},
    {"dns lookup", "[ptr | mx | cname | ips | a | aaaa | ns | txt | srv | tlsa] name",
     "Look up records in the DNS.\n\n"
     "Answers are validated with DNSSEC from the root on: \"with dnssec\" says that they are proved\n"
     "right, \"without dnssec\" that their zone is not signed. ptr takes an IP address; ips, which\n"
     "is meant when no type is named, is a and aaaa. Needs no running server.\n\n"
     "The environment variable MOX_RESOLVER names addresses of resolvers to ask instead of\n"
     "recursing from the root, MOX_TRUST_ANCHOR a file of trust anchors, or none.",
     cmd_dns_lookup, false},
    {"dnsbl check", "zone ip", "Ask a DNS block list about an IP address.\n\n"
     "Prints \"status: pass\" when the address is not listed, \"fail\" when it is, with the list's\n"
     "explanation, and \"temperror\" when the list does not say. Needs no running server.",
     cmd_dnsbl_check, false},
    {"dnsbl checkhealth", "zone", "Check that a DNS block list works.\n\n"
     "A list must have its test address 127.0.0.2 and must not have 127.0.0.1. Says also whether\n"
     "it has the test addresses of a list of IPv6 addresses.", cmd_dnsbl_checkhealth, false},
    {"dmarc lookup", "domain", "Look up the DMARC record that is for a domain.\n\n"
     "It may be at a domain above. Prints the record and the policy for mail from the domain.\n"
     "Needs no running server.", cmd_dmarc_lookup, false},
    {"dmarc verify", "remoteip mailfromaddress helodomain <message",
     "Evaluate DMARC for a message.\n\n"
     "Checks SPF for the address and names, and the message's DKIM signatures. Address and domain\n"
     "may be empty: without both there is no SPF.", cmd_dmarc_verify, false},
    {"dmarc checkreportaddrs", "domain",
     "Check that those who get a domain's DMARC reports want them.\n\n"
     "Addresses outside of the domain's organisation must say so in the DNS. Exits with 1 when one\n"
     "does not.", cmd_dmarc_checkreportaddrs, false},
    {"dmarc parsereportmsg", "messagefile ...", "Print the DMARC aggregate reports in messages.",
     cmd_dmarc_parsereportmsg, false},
    {"dmarc listreports", "[domain]", "List DMARC aggregate reports about domains of ours.\n\n"
     "Per report: number, when it came, domain, period, by whom, the domain of its message, its id,\n"
     "and how many messages it says passed or failed. All of it is in admin.db of the data directory.",
     cmd_dmarc_listreports, false},
    {"dmarc sendreports", "", "Send the DMARC reports that there is something for, now.\n\n"
     "Otherwise they are sent after each interval that their domain asks for. What was told is not told again.\n"
     "Returns when the reports are in the queue.", cmd_dmarc_sendreports, false},
    {"dmarc suppress list", "", "List the addresses that get no DMARC reports from this server.",
     cmd_dmarc_suppress_list, false},
    {"dmarc suppress add", "address days [comment]",
     "Send no DMARC reports to an address, for a number of days.", cmd_dmarc_suppress_add, false},
    {"dmarc suppress rm", "address", "Send DMARC reports to an address again.", cmd_dmarc_suppress_rm, false},
    {"dmarcdb addreport", "fromdomain <message",
     "Add the DMARC report in a message to the database of reports.\n\n"
     "As if it had come from that domain to the address for them, but without any check.",
     cmd_dmarcdb_addreport, true},
    {"tlsrptdb addreport", "fromdomain <message",
     "Add the TLS report in a message to the database of reports.\n\n"
     "As \"dmarcdb addreport\"; about each domain that it has policies of.", cmd_tlsrptdb_addreport, true},
    {"mtasts lookup", "domain", "Look up the MTA-STS record of a domain and fetch its policy.\n\n"
     "The web server's certificate must be of an authority of the system, or of the file that the\n"
     "environment variable SSL_CERT_FILE names. Needs no running server.", cmd_mtasts_lookup, false},
    {"rdap domainage", "domain", "Print how long ago a domain was registered.\n\n"
     "Asks the registry, which a list of IANA's names (RDAP, RFC 9224). Mail from a young domain is often\n"
     "taken for junk. Needs no running server.", cmd_rdap_domainage, false},
    {"smtp dial", "[flags] host[:port]",
     "Connect to an SMTP server, shake hands with STARTTLS if it offers that, and say EHLO.\n\n"
     "Then copies standard input to the server and what it says to standard output. The certificate is\n"
     "not verified, unless with -tlsverify; DANE and MTA-STS play no part. -remotehostname is the name\n"
     "of the server that TLS asks for, if it is not host.\n\n"
     "Flags: -ehlohostname name, -forcetls, -notls, -remotehostname name, -tlscerts pemfile (authorities, for\n"
     "-tlsverify), -tlsciphersuites and -tlscurves (lists with commas), -tlsnodynamicrecordsizing (records are of\n"
     "one size in any case), -tlsnosessiontickets, -tlsrenegotiation never|once|always (of the server's asking; once\n"
     "is as always), -tlsverify, -tlsversionmin and -tlsversionmax (tls1.0 to tls1.3).", cmd_smtp_dial, false},
    {"tlsrpt lookup", "domain", "Look up the TLS reporting record of a domain and print it.",
     cmd_tlsrpt_lookup, false},
    {"tlsrpt parsereportmsg", "messagefile ...", "Print the TLS reports in messages, as JSON.",
     cmd_tlsrpt_parsereportmsg, false},
    {"tlsrpt listreports", "[domain]", "List TLS reports about domains of ours and this host.\n\n"
     "As \"dmarc listreports\"; what passed or failed are sessions.", cmd_tlsrpt_listreports, false},
    {"tlsrpt sendreports", "", "Send the TLS reports that there is something for, now.\n\n"
     "Otherwise they are sent once a day, after midnight UTC. What was told is not told again.\n"
     "Returns when the reports are in the queue.", cmd_tlsrpt_sendreports, false},
    {"tlsrpt suppress list", "", "List the addresses that get no TLS reports from this server.",
     cmd_tlsrpt_suppress_list, false},
    {"tlsrpt suppress add", "address days [comment]",
     "Send no TLS reports to an address, for a number of days.\n\n"
     "An email address, or that of a web server: an https URL as the record has it.", cmd_tlsrpt_suppress_add, false},
    {"tlsrpt suppress rm", "address", "Send TLS reports to an address again.", cmd_tlsrpt_suppress_rm, false},
    {"spf check", "domain ip", "Evaluate the SPF record of a domain for an IP address.\n\n"
     "Says whether mail from user@domain may come from the address, and which part of the record\n"
     "says so. Needs no running server.", cmd_spf_check, false},
    {"spf lookup", "domain", "Look up the SPF record of a domain and print it.", cmd_spf_lookup, false},
    {"spf parse", "txtrecord", "Check an SPF record for errors.\n\n"
     "Prints nothing when there are none.", cmd_spf_parse, false},
    {"junk train", "[flags] hamdir spamdir", "Train a junk filter from the files of two directories.\n\n"
     "Flags of all junk commands: -dbpath file (filter.db), -method evidence or words, -spam-threshold\n"
     "(0.95), -train-ratio (0.5), -sent-dir dir (learnt as ham), -seed (split by chance), -debug (what\n"
     "became of each message). Of words: -one-grams, -two-grams (true), -three-grams, -max-power (0.05),\n"
     "-top-words (10), -ignore-words (0.1), -rare-words (1); any of them chooses -method words.\n"
     "There is no -bloompath: a word counts from its first message on.",
     cmd_junk_train, true},
    {"junk check", "[flags] file", "Print the probability that a message is junk.\n\n"
     "\"not significant\" says that the filter has learnt little. Flags: see \"junk train\".",
     cmd_junk_check, true},
    {"junk test", "[flags] hamdir spamdir", "Classify the files of two directories with the trained filter.\n\n"
     "Prints how many were told right and wrong. Flags: see \"junk train\".", cmd_junk_test, true},
    {"junk analyze", "[flags] hamdir spamdir", "Train on a part of two directories and test on the rest.\n\n"
     "Uses no file of a filter. Flags: see \"junk train\".", cmd_junk_analyze, true},
    {"junk play", "[flags] hamdir spamdir", "Classify each message, in order of time, before it is learnt.\n\n"
     "Uses no file of a filter. Flags: see \"junk train\".", cmd_junk_play, true},
    {"localserve", "[-dir dir] [-ip ip] [-initonly]", "Start a mail server for trying things out.\n\n"
     "Listens on localhost: SMTP 1025, submission 1587 and with TLS 1465, IMAP 1143 and with TLS\n"
     "1993. All mail, to whatever address, arrives in account mox (mox@localhost, password\n"
     "moxmoxmox). The first time, configuration and keys are written to -dir, by default\n"
     "mox-localserve in your configuration directory; -ip listens on that address instead of\n"
     "127.0.0.1 and ::1, and counts the first time only; -initonly writes the directory and ends.\n\n"
     "Nothing is sent to the Internet. A localpart fails as its end says: temperror (451),\n"
     "permerror (550), timeout (no answer for an hour), or the reply code itself (user452). It does\n"
     "so when the message is submitted or delivered; with mailfrom or rcptto at its beginning in\n"
     "that command, with queue at its beginning only when the queue delivers it.", cmd_localserve, false},
    {"checkupdate", "", "Look for a newer version of this program, and print what changed in it.\n\n"
     "Where, the Updates section of mox.conf says. With CheckUpdates the server looks once a day, and\n"
     "sends what changed to the postmaster.", cmd_checkupdate, false},
    {"updates addsigned", "privkey-file changes-file <text",
     "Sign a change and put it first in a list of changes.\n\n"
     "The text on standard input begins with \"version: v1.2.3\", newer than those in the list. An empty\n"
     "changes-file is a list without changes.", cmd_updates_addsigned, true},
    {"updates genkey", ">privkey-file", "Generate a private key for signing changes.", cmd_updates_genkey, true},
    {"updates pubkey", "privkey-file", "Print the public half of a key, for Updates in mox.conf.",
     cmd_updates_pubkey, true},
    {"updates serve", "[-address ip:port] [-changelog file]", "Serve a list of changes over HTTP, at /changelog.\n\n"
     "With ?from=v1.2.3 only what is newer. The file (changelog.json) is read for each request. The\n"
     "address is 127.0.0.1:8596 without -address: HTTPS, and limits for clients, are for a web server\n"
     "in front of it.", cmd_updates_serve, true},
    {"updates verify", "pubkey <changes-file", "Verify the signatures of a list of changes, and print them.",
     cmd_updates_verify, true},
    {"help", "[command ...]", "Print help about commands.", cmd_help, false},
    {"helpall", "", "Print the help of all commands.", cmd_helpall, true},
    {"licenses", "", "Print the licence of this program, and name those of the libraries that it uses.",
     cmd_licenses, false},
    {"version", "", "Print the version of this program.", cmd_version, false},
};
const size_t cmd_verb_count = COUNT(cmd_verbs);
