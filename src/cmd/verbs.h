/*
 * The verbs of the command line, each in the file of its subject.
 */
#pragma once

#include "cmd/cmd.h"

extern const struct cmd cmd_verbs[];
extern const size_t cmd_verb_count;

typedef int cmd_run_fn(int argc, char **argv);
cmd_run_fn cmd_help, cmd_helpall, cmd_version;                       // cmd.c
cmd_run_fn cmd_licenses;                                             // cmd_licenses.c
cmd_run_fn cmd_serve, cmd_localserve;                                // cmd_serve.c
cmd_run_fn cmd_stop, cmd_setaccountpassword, cmd_loglevels; // cmd_ctl.c
cmd_run_fn cmd_queue_list, cmd_queue_hold, cmd_queue_unhold, cmd_queue_kick, cmd_queue_schedule, cmd_queue_transport,
    cmd_queue_requiretls, cmd_queue_fail, cmd_queue_drop, cmd_queue_dump, cmd_queue_retired_list,
    cmd_queue_retired_print, cmd_queue_holdrules_list, cmd_queue_holdrules_add, cmd_queue_holdrules_remove,
    cmd_queue_suppress_list, cmd_queue_suppress_add, cmd_queue_suppress_remove,
    cmd_queue_suppress_lookup; // cmd_queue.c
cmd_run_fn cmd_config_test, cmd_config_describe_static, cmd_config_describe_domains; // cmd_config.c
cmd_run_fn cmd_dkim_gened25519, cmd_dkim_genrsa, cmd_dkim_lookup, cmd_dkim_sign, cmd_dkim_txt,
    cmd_dkim_verify;                                                 // cmd_dkim.c
cmd_run_fn cmd_sendmail, cmd_config_describe_sendmail;               // cmd_sendmail.c
cmd_run_fn cmd_dane_dial, cmd_dane_dialmx, cmd_dane_makerecord, cmd_smtp_dial; // cmd_dane.c
cmd_run_fn cmd_mtasts_lookup;                                        // cmd_mtasts.c
cmd_run_fn cmd_dns_lookup;                                           // cmd_dns.c
cmd_run_fn cmd_rdap_domainage;                                       // cmd_rdap.c
cmd_run_fn cmd_account_list, cmd_account_addresses, cmd_account_add, cmd_account_rm, cmd_account_disable,
    cmd_account_enable, cmd_address_account, cmd_address_add, cmd_address_rm, cmd_domain_add, cmd_domain_rm, cmd_domain_disable,
    cmd_domain_enable, cmd_alias_list, cmd_alias_print, cmd_alias_add, cmd_alias_update, cmd_alias_rm,
    cmd_alias_addaddr, cmd_alias_rmaddr;                             // cmd_domains.c
cmd_run_fn cmd_backup, cmd_restore, cmd_bumpuidvalidity;              // cmd_backup.c
cmd_run_fn cmd_export_mbox, cmd_export_maildir, cmd_export_archive;  // cmd_export.c
cmd_run_fn cmd_import_mbox, cmd_import_maildir, cmd_ximport_mbox, cmd_ximport_maildir; // cmd_import.c
cmd_run_fn cmd_import_archive;  // cmd_import_archive.c
cmd_run_fn cmd_import_upstream; // cmd_import_upstream.c
cmd_run_fn cmd_dnsrecords;                                           // cmd_dnsrecords.c
cmd_run_fn cmd_dnscheck;                                             // cmd_dnscheck.c
cmd_run_fn cmd_quickstart;                                           // cmd_quickstart.c
cmd_run_fn cmd_setadminpassword, cmd_clientconfig, cmd_config_printservice, cmd_config_example,
    cmd_config_ensurekeys;                                           // cmd_setup.c
cmd_run_fn cmd_dnsbl_check, cmd_dnsbl_checkhealth;                   // cmd_dnsbl.c
cmd_run_fn cmd_dmarc_lookup, cmd_dmarc_verify, cmd_dmarc_checkreportaddrs, cmd_dmarc_parsereportmsg,
    cmd_tlsrpt_lookup, cmd_tlsrpt_parsereportmsg, cmd_dmarcdb_addreport, cmd_tlsrptdb_addreport;                    // cmd_dmarc.c
cmd_run_fn cmd_spf_check, cmd_spf_lookup, cmd_spf_parse;             // cmd_spf.c
cmd_run_fn cmd_retrain, cmd_dmarc_listreports, cmd_tlsrpt_listreports, cmd_dmarc_sendreports,
    cmd_tlsrpt_sendreports, cmd_dmarc_suppress_list, cmd_dmarc_suppress_add, cmd_dmarc_suppress_rm,
    cmd_tlsrpt_suppress_list, cmd_tlsrpt_suppress_add, cmd_tlsrpt_suppress_rm; // cmd_ctl.c
cmd_run_fn cmd_junk_train, cmd_junk_check, cmd_junk_test, cmd_junk_analyze, cmd_junk_play; // cmd_junk.c
cmd_run_fn cmd_message_parse, cmd_message_why, cmd_cid; // cmd_data.c
cmd_run_fn cmd_verifydata, cmd_recalculatemailboxcounts, cmd_fixmsgsize, cmd_reparse, cmd_ensureparsed, cmd_reassignthreads,
    cmd_fixuidmeta, cmd_reassignuids, cmd_openaccounts; // cmd_repair.c
cmd_run_fn cmd_tlspubkey_list, cmd_tlspubkey_get, cmd_tlspubkey_add, cmd_tlspubkey_rm,
    cmd_tlspubkey_gen; // cmd_tlspubkey.c
cmd_run_fn cmd_checkupdate, cmd_updates_addsigned, cmd_updates_genkey, cmd_updates_pubkey, cmd_updates_verify; // cmd_update.c
cmd_run_fn cmd_updates_serve; // cmd_update_serve.c
