"""
pyspf (Debian's python3-spf) as another opinion: asks the name server of its argument, and prints the result
of each line of standard input, "domain ip".
"""
import sys

import dns.resolver
import spf

resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers = [sys.argv[1]]
dns.resolver.default_resolver = resolver
for line in sys.stdin:
    domain, ip = line.split()
    print(spf.check2(i=ip, s='user@' + domain, h=domain)[0])
