// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
// The socket programs: data in and out whatever the syscall, state changes, resets.
#pragma once

// emit_question tells what was asked; the caller has filled in the tuple.
INLINE void emit_question(struct scratch *s, u32 slot, u64 len, u64 buf, u64 n)
{
	struct dns_rec *d = (void *)s;
	fill_hdr(&d->h, REC_DNS, 0, slot);
	d->total = len;
	u32 off = copy_user(s, sizeof(*d), buf, n, DNS_MAX);
	d->cap = off - sizeof(*d);
	d->h.len = off;
	out_bulk(slot, CLASS_DATAGRAM, s, total(off));
}

// on_datagram: a DNS question, or the first datagram to a new address. Which message of
// a sendmmsg it is stands in the upper half of len.
LOCAL int on_datagram(u64 sock, u64 cookie, u32 slot, u64 regs, u64 len)
{
	u32 index = len >> 32;
	len = (u32)len;
	struct sock *sk = (void *)sock;
	struct pt_regs *r = (void *)regs;
	struct sock_state *st = bpf_map_lookup_elem(&socks, &cookie);
	struct scratch *s = get_scratch();
	if (!st || !s || slot >= SLOTS)
		return 0;
	struct tuple t = {};
	fill_tuple(&t, sk);
	t.cookie = cookie;
	u64 n = len, buf = user_buffer(r, &n, index);
	if (t.rport == 0) {
		u32 nr = SYS_NR(r);
		u64 name = 0;
		u8 sa[24] = {};
		if (nr == NR_sendto)
			name = ARG5(r);
		else if (nr == NR_sendmsg || nr == NR_sendmmsg)
			bpf_probe_read_user(&name, sizeof(name), (void *)(ARG2(r) + index * MMSGHDR));
		if (!name || bpf_probe_read_user(sa, 8, (void *)name))
			return 0;
		u16 family = *(u16 *)sa;
		t.rport = (u16)sa[2] << 8 | sa[3];
		if (family == AF_INET) {
			__builtin_memcpy(t.raddr, sa + 4, 4);
			t.family = AF_INET;
		} else {
			bpf_probe_read_user(t.raddr, 16, (void *)(name + 8));
		}
	}
	u64 *now = (u64 *)t.raddr, *old = (u64 *)st->t.raddr;
	bool fresh = st->t.rport != t.rport || now[0] != old[0] || now[1] != old[1] || !(st->flags & SOCK_OWNED);
	bool dns = t.rport == 53 && buf && n >= 17;
	if (!fresh && !dns)
		return 0;
	if (over_cap(slot, CLASS_DATAGRAM, bpf_get_current_pid_tgid() >> 32))
		return 0;
	if (fresh) {
		st->t = t;
		st->flags |= SOCK_OWNED;
		struct net_rec *v = (void *)s;
		__builtin_memset(v, 0, sizeof(*v));
		fill_hdr(&v->h, REC_NET, NET_SEND, slot);
		v->h.len = sizeof(*v);
		v->t = t;
		v->sent = len;
		out_bulk(slot, CLASS_DATAGRAM, v, sizeof(*v));
	}
	if (!dns)
		return 0;
	((struct dns_rec *)s)->t = t;
	emit_question(s, slot, len, buf, n);
	return 0;
}

// on_question: bytes went to port 53 of a TCP connection that this host opened. Length
// and question may come in two segments or two calls; user space looks which.
LOCAL int on_question(u64 sock, u64 cookie, u32 slot, u64 regs, u64 len)
{
	struct pt_regs *r = (void *)regs;
	struct scratch *s = get_scratch();
	if (!s || slot >= SLOTS)
		return 0;
	u64 n = len, buf = user_buffer(r, &n, 0);
	if (n == 2 && len > 2) {
		u64 p = ARG2(r), iov[2] = {};
		if (SYS_NR(r) == NR_sendmsg)
			bpf_probe_read_user(&p, sizeof(p), (void *)(p + 16));
		if (bpf_probe_read_user(iov, sizeof(iov), (void *)(p + sizeof(iov))))
			return 0;
		buf = iov[0];
		n = iov[1] < len - 2 ? iov[1] : len - 2;
	}
	if (!buf || n < 17 || over_cap(slot, CLASS_DATAGRAM, bpf_get_current_pid_tgid() >> 32))
		return 0;
	struct tuple *t = &((struct dns_rec *)s)->t;
	fill_tuple(t, (void *)sock);
	t->cookie = cookie;
	emit_question(s, slot, len, buf, n);
	return 0;
}

// Of one sendmmsg so many messages are looked at: getaddrinfo asks for A and AAAA so.
#define MMSG_MOST 4

INLINE int on_data(struct sock *sk, u64 cookie, struct pt_regs *r, u64 ret, bool sending)
{
	u16 family = RD(sk, __sk_common.skc_family), type = RD(sk, sk_type);
	if (family != AF_UNIX && family != AF_INET && family != AF_INET6)
		return 0;
	bool packets = type == SOCK_SEQPACKET && family == AF_UNIX; // only whose they are is told
	if (type != SOCK_STREAM && !packets && !(sending && type == SOCK_DGRAM && family != AF_UNIX))
		return 0;
	u32 slot = slot_of_current();
	if (slot >= SLOTS) {
		count(NO_SLOT, CLASS_REQUEST, 1);
		return 0;
	}
	struct sock_state *st = state_of(sk, cookie, slot);
	if (!st)
		return 0;
	if (type == SOCK_DGRAM) {
		u64 index = 0;
		if (SYS_NR(r) == NR_sendmmsg) {
			// sock_send_length speaks once for each message, in order.
			u32 many = ARG3(r);
			index = many ? st->message++ % many : 0;
			if (index >= MMSG_MOST)
				return 0;
		}
		return on_datagram((u64)sk, cookie, slot, (u64)r, (u32)ret | index << 32);
	}
	if (family == AF_UNIX) {
		if (!(st->flags & SOCK_PAIRED))
			emit_pair((u64)sk, cookie, slot);
		if (packets)
			return 0;
	} else if ((st->flags & (SOCK_PASSIVE | SOCK_ACCEPTED)) == SOCK_PASSIVE) {
		claim(cookie, slot);
	}
	if (sending && family != AF_UNIX && st->t.rport == 53 && !(st->flags & SOCK_PASSIVE))
		return on_question((u64)sk, cookie, slot, (u64)r, ret);
	u64 len = ret, buf = user_buffer(r, &len, 0);
	if (sending)
		sent(sk, st, cookie, slot, buf, len, ret);
	else
		received(sk, st, cookie, slot, buf, len, ret);
	return 0;
}

SEC("tp_btf/sock_recv_length")
int on_recv(u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	int ret = ctx[1], flags = ctx[2];
	if (ret <= 0 || flags & MSG_PEEK)
		return 0;
	return on_data(sk, bpf_get_socket_cookie(sk), (void *)bpf_task_pt_regs(bpf_get_current_task_btf()), ret, false);
}

SEC("tp_btf/sock_send_length")
int on_send(u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	int ret = ctx[1];
	if (ret <= 0)
		return 0;
	return on_data(sk, bpf_get_socket_cookie(sk), (void *)bpf_task_pt_regs(bpf_get_current_task_btf()), ret, true);
}

// on_data_of_call has a frame of its own: kernels before 6.13 have 512 bytes for all.
LOCAL int on_data_of_call(u64 sock, u64 cookie, u64 regs, u64 ret, u64 sending)
{
	return on_data((void *)sock, cookie, (void *)regs, ret, sending != 0);
}

// Before 6.3 there is no sock_*_length: the exits of the read and write calls stand in.
SEC("tp_btf/sys_exit")
int on_sys_exit_sockets(u64 *ctx)
{
	struct pt_regs *r = (void *)ctx[0];
	s64 ret = ctx[1];
	u32 nr = SYS_NR(r);
	bool sending = nr == NR_write || nr == NR_writev || nr == NR_sendto || nr == NR_sendmsg || nr == NR_sendmmsg;
	if (!sending && nr != NR_read && nr != NR_readv && nr != NR_recvfrom && nr != NR_recvmsg)
		return 0;
	if (ret <= 0 || (nr == NR_recvfrom && ARG4(r) & MSG_PEEK) || (nr == NR_recvmsg && ARG3(r) & MSG_PEEK))
		return 0;
	struct file *f = file_of_fd(CURRENT, ARG1(r));
	if (!f)
		return 0;
	struct inode *i = RD(f, f_inode);
	if ((RD(i, i_mode) & 0170000) != 0140000)
		return 0;
	struct socket *so = RD(f, private_data);
	struct sock *sk = RD(so, sk);
	if (!sk)
		return 0;
	u64 cookie = known_cookie(sk);
	if (!cookie)
		cookie = (u64)sk;
	u64 msgs = ARG2(r);
	u32 many = nr == NR_sendmmsg ? MMSG_MOST : 1;
	for (u32 i = 0; i < MMSG_MOST; i++) {
		u32 len = ret;
		if (i >= many)
			break;
		// Of a sendmmsg, ret is how many messages went; each tells how long it was.
		if (nr == NR_sendmmsg && (i >= ret || bpf_probe_read_user(&len, sizeof(len), (void *)(msgs + i * MMSGHDR + MMSG_SENT))))
			break;
		on_data_of_call((u64)sk, cookie, (u64)r, len, sending);
	}
	return 0;
}

INLINE u64 cookie_of(struct sock *sk)
{
	if (SINCE_5_12)
		return bpf_get_socket_cookie(sk);
	return known_cookie(sk);
}

INLINE void opening(struct sock *sk, u64 cookie)
{
	u32 slot = slot_of_current();
	if (slot >= SLOTS)
		return;
	struct sock_state st = {};
	fill_tuple(&st.t, sk);
	st.t.cookie = cookie;
	st.slot = slot;
	st.flags = SOCK_CONNECTING | SOCK_OWNED;
	fill_actor(&st.owner, CURRENT, slot);
	bpf_map_update_elem(&socks, &cookie, &st, UPDATE_ANY);
}

INLINE void established(struct sock *sk, u64 cookie, int old)
{
	struct sock_state *st = bpf_map_lookup_elem(&socks, &cookie);
	if (old == TCP_SYN_RECV) {
		struct sock_state fresh = {};
		fill_tuple(&fresh.t, sk);
		fresh.t.cookie = cookie;
		fresh.slot = slot_of_netns(fresh.t.netns);
		fresh.flags = SOCK_PASSIVE;
		struct listen_key k = {.netns = fresh.t.netns, .port = fresh.t.lport};
		struct actor *a = bpf_map_lookup_elem(&listeners, &k);
		if (a) {
			fresh.owner = *a;
			fresh.flags |= SOCK_OWNED;
		}
		bpf_map_update_elem(&socks, &cookie, &fresh, UPDATE_ANY);
		return;
	}
	if (!st || !(st->flags & SOCK_CONNECTING) || st->slot >= SLOTS)
		return;
	st->flags &= ~SOCK_CONNECTING;
	fill_tuple(&st->t, sk);
	st->t.cookie = cookie;
	struct net_rec r;
	emit_net(&r, st, NET_CONNECT, st->slot);
}

INLINE void closing(struct sock *sk, u64 cookie, int old)
{
	struct sock_state *st = bpf_map_lookup_elem(&socks, &cookie);
	if (!st)
		return;
	u32 slot = st->slot;
	if (slot < SLOTS) {
		struct net_rec r = {};
		r.h.type = REC_NET;
		r.h.op = old == TCP_SYN_SENT ? NET_CONNECT : NET_CLOSE;
		r.h.len = sizeof(r);
		r.h.boot_ns = bpf_ktime_get_boot_ns();
		r.h.a = st->owner;
		r.t = st->t;
		r.inbound = (st->flags & SOCK_PASSIVE) != 0;
		r.failed = old == TCP_SYN_SENT;
		r.received = RD((struct tcp_sock *)sk, bytes_received);
		r.sent = RD((struct tcp_sock *)sk, bytes_acked);
		if ((st->flags & (SOCK_PASSIVE | SOCK_ACCEPTED)) == SOCK_PASSIVE) {
			// Nobody touched it: the listener's owner stands for it.
			r.h.op = NET_ACCEPT;
			out_precious(slot, CLASS_CONNECTION, &r, sizeof(r));
			r.h.op = NET_CLOSE;
		}
		out_precious(slot, CLASS_CONNECTION, &r, sizeof(r));
	}
	bpf_map_delete_elem(&socks, &cookie);
}

SEC("tp_btf/inet_sock_set_state")
int on_state(u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	int old = ctx[1], new = ctx[2];
	if (RD(sk, sk_protocol) != 6)
		return 0;
	if (new == TCP_SYN_SENT) {
		opening(sk, cookie_of(sk));
	} else if (new == TCP_ESTABLISHED) {
		established(sk, cookie_of(sk), old);
	} else if (new == TCP_LISTEN) {
		u32 slot = slot_of_current();
		if (slot >= SLOTS)
			return 0;
		struct net_rec r = {};
		fill_hdr(&r.h, REC_NET, NET_LISTEN, slot);
		r.h.len = sizeof(r);
		fill_tuple(&r.t, sk);
		// The state changes before the port is final only for port 0: skc_num has it.
		if (!r.t.lport)
			r.t.lport = RD(sk, __sk_common.skc_num);
		struct listen_key k = {.netns = r.t.netns, .port = r.t.lport};
		bpf_map_update_elem(&listeners, &k, &r.h.a, UPDATE_ANY);
		out_precious(slot, CLASS_CONNECTION, &r, sizeof(r));
	} else if (new == TCP_CLOSE && old != TCP_LISTEN) {
		closing(sk, cookie_of(sk), old);
	}
	return 0;
}

// told_reset tells of a reset that no socket sent: who knocked at which closed port.
INLINE int told_reset(struct sk_buff *skb, bool dropped)
{
	struct net_device *dev = RD(skb, dev);
	if (!dev)
		return 0;
	struct net *net = RD(dev, nd_net.net);
	u32 netns = RD(net, ns.inum), slot = slot_of_netns(netns);
	if (slot >= SLOTS) {
		count(NO_SLOT, CLASS_RESET, 1);
		return 0;
	}
	unsigned char *head = RD(skb, head);
	u8 ip[40] = {}, tcp[14] = {};
	bpf_probe_read_kernel(ip, sizeof(ip), head + RD(skb, network_header));
	bpf_probe_read_kernel(tcp, sizeof(tcp), head + RD(skb, transport_header));
	if (dropped && ((ip[0] >> 4 == 4 ? ip[9] : ip[6]) != 6 || tcp[13] & 4))
		return 0; // no TCP, or a reset itself: that gets no answer
	if (over_cap(slot, CLASS_RESET, 1ULL << 63 | netns))
		return 0;
	struct net_rec r = {};
	r.h.type = REC_NET;
	r.h.op = NET_RESET;
	r.h.len = sizeof(r);
	r.h.boot_ns = bpf_ktime_get_boot_ns();
	r.t.proto = 6;
	r.t.netns = netns;
	r.inbound = 1;
	r.t.rport = (u16)tcp[0] << 8 | tcp[1];
	r.t.lport = (u16)tcp[2] << 8 | tcp[3];
	if (ip[0] >> 4 == 4) {
		r.t.family = AF_INET;
		__builtin_memcpy(r.t.raddr, ip + 12, 4);
		__builtin_memcpy(r.t.laddr, ip + 16, 4);
	} else {
		r.t.family = AF_INET6;
		__builtin_memcpy(r.t.raddr, ip + 8, 16);
		__builtin_memcpy(r.t.laddr, ip + 24, 16);
	}
	out_bulk(slot, CLASS_RESET, &r, sizeof(r));
	return 0;
}

SEC("tp_btf/tcp_send_reset")
int on_reset(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[1];
	if (ctx[0] || !skb)
		return 0; // a socket's own reset shows as its close
	return told_reset(skb, false);
}

// Before 6.10 tcp_send_reset speaks only where there is a socket. What came for none is
// dropped just after its reset was sent (net/ipv4/tcp_ipv4.c, tcp_v4_rcv), for a reason
// that kernels give since 5.17.
SEC("tp_btf/kfree_skb")
int on_drop(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	if ((u32)ctx[2] != NO_SOCKET)
		return 0;
	return told_reset(skb, true);
}
