#!/usr/bin/perl
# SpamAssassin's Bayes alone, in one process: sa-bayes.pl DIR learn HAMDIR SPAMDIR | classify HAMDIR SPAMDIR
# Prints "ham|spam score path" for each message; a message it has no opinion of has 0.5.
use strict;
use warnings;
use Mail::SpamAssassin;
use Mail::SpamAssassin::PerMsgStatus;

my ($dir, $verb, @dirs) = @ARGV;
# Its rules are not wanted, but the names of top-level domains are: for tokens of links.
my ($tlds) = glob('/usr/share/spamassassin/20_aux_tlds.cf');
my $text = '';
if ($tlds) { local $/; open(my $f, '<', $tlds) or die $!; $text = <$f>; }
my $sa = Mail::SpamAssassin->new({
    local_tests_only => 1, dont_copy_prefs => 1, userstate_dir => $dir,
    site_rules_filename => "$dir/none", rules_filename => "$dir/none", userprefs_filename => "$dir/none",
    config_text => $text . "\nloadplugin Mail::SpamAssassin::Plugin::Bayes\nuse_bayes 1\nbayes_path $dir/bayes\n"
        . "bayes_min_ham_num 1\nbayes_min_spam_num 1\nbayes_auto_learn 0\nbayes_auto_expire 0\n"
        . "bayes_learn_to_journal 0\nlock_method flock\n",
});
$sa->init(0);
$sa->init_learner({ force_expire => 0, learn_to_journal => 0, wait_for_lock => 1, caller_will_untie => 1 })
    if $verb eq 'learn';
my $bayes = $sa->call_plugins('learner_get_implementation');
for my $is_spam (0, 1) {
    my $path = $dirs[$is_spam];
    opendir(my $d, $path) or die "$path: $!";
    for my $name (sort grep { -f "$path/$_" } readdir $d) {
        open(my $f, '<:raw', "$path/$name") or die $!;
        my @lines = <$f>;
        close $f;
        my $m = $sa->parse(\@lines, 0);
        if ($verb eq 'learn') {
            $sa->learn($m, undef, $is_spam, 0)->finish();
        } else {
            my $status = Mail::SpamAssassin::PerMsgStatus->new($sa, $m);
            my $p = $bayes->scan($status, $m);
            printf "%s %.12f %s\n", $is_spam ? 'spam' : 'ham', $p // 0.5, "$path/$name";
            $status->finish();
        }
        $m->finish();
    }
}
$sa->finish_learner() if $verb eq 'learn';
