"""A DNS server that takes updates: of one zone, signed with one key. It is asked for names as the root of the DNS is."""
import socket
import struct
import sys
import threading

sys.path.append('/usr/lib/python3/dist-packages')  # dnspython

import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig

from harness import WAIT


NS = dns.name.from_text('ns.')


class UpdateServer:
    """On `ip`, by UDP and TCP, ports 53 and `port`. `updates`: what it was told, as (name, text or None); `signs`: the key
    that its answers are signed with, when it is another. Every name has the address `target`."""

    def __init__(self, ip, zone, key, target, port):
        self.ip, self.target = ip, target
        self.zone, self.key, self.signs = dns.name.from_text(zone), key, None
        self.records, self.updates, self.clients = {}, [], []
        self.sockets = [socket.create_server((ip, p)) for p in (53, port)]
        for p in (53, port):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((ip, p))
            self.sockets.append(s)
        for s in self.sockets:
            threading.Thread(target=self.datagrams if s.type == socket.SOCK_DGRAM else self.listen, args=(s,), daemon=True).start()

    def close(self):
        for s in self.sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def datagrams(self, s):
        while True:
            try:
                data, client = s.recvfrom(4096)
                if not client:
                    return
                s.sendto(self.answer(data), client)
            except OSError:
                return

    def listen(self, s):
        while True:
            try:
                c, client = s.accept()
            except OSError:
                return
            self.clients.append(client[0])
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        c.settimeout(WAIT)
        with c, c.makefile('rb') as f:
            try:
                while True:
                    length = f.read(2)
                    if len(length) < 2:
                        return
                    answer = self.answer(f.read(struct.unpack('>H', length)[0]))
                    c.sendall(struct.pack('>H', len(answer)) + answer)
            except OSError:
                pass

    def answer(self, data):
        try:
            q = dns.message.from_wire(data, keyring=self.key)
        except Exception as problem:  # the key or the signature is wrong: RFC 8945 5.2
            self.updates.append(('bad', type(problem).__name__))
            return data[:2] + bytes((0xa8, dns.rcode.NOTAUTH)) + bytes(8)
        r = dns.message.make_response(q)
        if q.opcode() == dns.opcode.UPDATE:
            r.set_rcode(self.update(q))
            if self.signs:
                r.use_tsig(self.signs)
        else:
            r.flags |= 0x0400
            name, kind = q.question[0].name, q.question[0].rdtype
            found = {dns.rdatatype.TXT: ['"%s"' % t for t in self.records.get(name, ())],
                     dns.rdatatype.A: [self.ip if name == NS else self.target] if len(name) > 1 else [],
                     dns.rdatatype.NS: ['ns.'] if name == dns.name.root else []}.get(kind)
            if not found:
                r.authority.append(dns.rrset.from_text(dns.name.root, 0, 'IN', 'SOA', 'ns. ns. 1 1 1 1 0'))
            else:
                r.answer.append(dns.rrset.from_text(name, 0, 'IN', kind, *found))
        return r.to_wire()

    def update(self, q):
        if not q.had_tsig:
            return dns.rcode.REFUSED
        if q.question[0].name != self.zone or q.question[0].rdtype != dns.rdatatype.SOA:
            return dns.rcode.NOTZONE
        for change in q.update:
            name = change.name
            texts = [t.strings[0].decode() for t in change]
            if change.deleting == dns.rdataclass.ANY:
                self.records.pop(name, None)
            elif change.deleting == dns.rdataclass.NONE:
                self.records[name] = [t for t in self.records.get(name, ()) if t not in texts]
            else:
                assert change.ttl == 60, change
                self.records.setdefault(name, []).extend(texts)
            self.updates.append((name.to_text(), 'set' if texts and not change.deleting else 'clear'))
        return dns.rcode.NOERROR
