# The verbs. The build itself is Meson's: meson.build, and one per module.
BUILD = build

.PHONY: run test build bench bench-junk bench-import soak fuzz fmt lint install deb test-install deps clean

run: build
	$(BUILD)/mox localserve

build: deps
	@[ -f $(BUILD)/build.ninja ] || meson setup $(BUILD) . > $(BUILD)-setup.log 2>&1 || { cat $(BUILD)-setup.log; exit 1; }
	@ninja -C $(BUILD) --quiet

# Everything CI runs; the last line is "N passed, N failed".
test: deps
	@test/run

# Beside Postfix and Dovecot, which it installs; prints a table. Some rows: ROWS="-r 1 fetch login". A queue of 50,000
# and 100,000 messages: ROWS="-r 1 long".
bench: build
	@tools/install-deps bench
	@test/bench/run $(ROWS)
	@[ -n "$(ROWS)" ] || test/bench/checked
	@[ -n "$(ROWS)" ] || test/bench/web

# The junk filter beside bogofilter and SpamAssassin's Bayes, which it installs: an hour. Less: JUNK="-few '' -quick".
bench-junk: build
	@tools/install-deps bench
	@test/junk/quality $(JUNK)

# A million small messages into one mailbox: some minutes. Fewer, or from a tgz: IMPORT="100000 tgz".
bench-import: build
	@test/load/import_million.py $(IMPORT)

# Longer versions of the crash tests, the random SMTP sessions, the clients at random, and 5,000 idle ones.
soak: build
	@$(BUILD)/mox-smtp-sequences 1000000
	@ROUNDS=50 python3 test/crash/test_crash.py
	@python3 test/checker/check_clients.py 1000 500
	@python3 test/checker/check_clients.py --parked 2000 20
	@CONNECTIONS=5000 python3 test/load/test_idle.py

# Every fuzz target for ten minutes.
fuzz: deps
	@tools/fuzz

fmt:
	clang-format -i $$(git ls-files 'src/*.c' 'src/*.h')

lint: deps
	@tools/check-layers
	@tools/check-headers
	@tools/ipc-doc --check

install: build
	install -D -m 0755 $(BUILD)/mox $(DESTDIR)/usr/local/bin/mox
	tools/man-pages $(BUILD)/mox $(BUILD)/man
	install -D -m 0644 -t $(DESTDIR)/usr/local/share/man/man1 $(BUILD)/man/*.1
	install -D -m 0644 -t $(DESTDIR)/usr/local/share/man/man5 $(BUILD)/man/*.5

# A Debian package, in $(BUILD)/deb.
deb: build
	@tools/make-deb $(BUILD) $(BUILD)/deb

# The package in a Debian of its own: installed, set up, with certificates of an authority and mail to and from Postfix over
# verified TLS; then under systemd in a virtual machine: restarted, killed, upgraded, purged. Needs root, the network and some
# ten minutes, fewer where there is KVM.
test-install: build
	@tools/install-deps build
	@tools/install-deps install
	@test/install/run

# Installs what is missing, and does nothing when all is there.
deps:
	@tools/install-deps build

clean:
	rm -rf $(BUILD)
