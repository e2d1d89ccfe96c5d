// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
// Sockets: who opened, who reads, what a message begins with.
#pragma once

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_SEQPACKET 5
enum { TCP_ESTABLISHED = 1, TCP_SYN_SENT = 2, TCP_SYN_RECV = 3, TCP_CLOSE = 7, TCP_LISTEN = 10 };
#define MSG_PEEK 2
#define ANSWER_MAX 512
#define DNS_MAX 511

// known_cookie is the socket's cookie if it has one, which before 5.12 is its address,
// forgotten at close; 0 otherwise.
INLINE u64 known_cookie(struct sock *sk)
{
	return SINCE_5_12 ? RD(sk, __sk_common.skc_cookie.counter) : (u64)sk;
}

INLINE void fill_tuple(struct tuple *t, struct sock *sk)
{
	t->family = RD(sk, __sk_common.skc_family);
	t->proto = RD(sk, sk_protocol);
	t->lport = t->rport = 0;
	t->netns = netns_of(sk);
	t->pad = 0;
	t->cookie = known_cookie(sk);
	__builtin_memset(t->laddr, 0, 32);
	if (t->family != AF_INET && t->family != AF_INET6)
		return;
	t->lport = ntohs(RD((struct inet_sock *)sk, inet_sport));
	t->rport = ntohs(RD(sk, __sk_common.skc_dport));
	if (t->family == AF_INET) {
		*(u32 *)t->laddr = RD(sk, __sk_common.skc_rcv_saddr);
		*(u32 *)t->raddr = RD(sk, __sk_common.skc_daddr);
	} else {
		bpf_probe_read_kernel(t->laddr, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_probe_read_kernel(t->raddr, 16, &sk->__sk_common.skc_v6_daddr);
	}
}

INLINE u64 sock_ino(struct sock *sk)
{
	struct socket *so = RD(sk, sk_socket);
	if (!so)
		return 0;
	struct file *f = RD(so, file);
	if (!f)
		return 0;
	struct inode *i = RD(f, f_inode);
	return RD(i, i_ino);
}

#define MMSGHDR 64  // sizeof(struct mmsghdr), include/linux/socket.h
#define MMSG_SENT 56 // its msg_len

// user_buffer finds where the syscall being served put or took its bytes. Vectors give
// their first segment; of several messages it takes the one of that index. io_uring,
// sendfile and splice give none.
INLINE u64 user_buffer(struct pt_regs *r, u64 *len, u32 index)
{
	u32 nr = SYS_NR(r);
	u64 p = ARG2(r), iov[2] = {}, msg = p;
	switch (nr) {
	case NR_read: case NR_write: case NR_recvfrom: case NR_sendto:
		return p;
	case NR_sendmmsg:
		msg += index * MMSGHDR;
	case NR_recvmsg: case NR_sendmsg: case NR_recvmmsg:
		p = 0; // struct user_msghdr: name, namelen, iov at 16, iovlen
		bpf_probe_read_user(&p, sizeof(p), (void *)(msg + 16));
		break;
	case NR_readv: case NR_writev:
		break;
	default:
		return 0;
	}
	if (!p || bpf_probe_read_user(iov, sizeof(iov), (void *)p))
		return 0;
	if (iov[1] < *len)
		*len = iov[1];
	return iov[0];
}

// method_like, for 16 bytes of which n count: perhaps empty lines (servers skip them), letters, then a space: a method; or
// a read so short that it may be the first part of one. Other line protocols begin alike
// (SMTP, memcached); user space tells them apart and mutes them.
GLOBAL u32 method_like(u64 lo, u64 hi, u32 n)
{
	u32 letters = 0;
	// Unrolled: the loop that clang makes of this falls through into its own head, which
	// kernels before 6.3 refuse ("back-edge").
#pragma unroll
	for (u32 i = 0; i < 16; i++) {
		if (i >= n)
			return i > 0;
		u8 c = lo;
		lo = lo >> 8 | hi << 56;
		hi >>= 8;
		if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_') {
			letters++;
			continue;
		}
		if ((c == '\r' || c == '\n') && letters == 0)
			continue;
		return c == ' ' && letters >= 3;
	}
	return letters < 16; // all blank lines: the start may follow
}

INLINE bool http_start(const u8 *b, u32 n) { return method_like(*(u64 *)b, *(u64 *)(b + 8), n); }

INLINE bool http_answer(const u8 *b) { return b[0] == 'H' && b[1] == 'T' && b[2] == 'T' && b[3] == 'P' && b[4] == '/'; }
// A FastCGI record header (version 1; BEGIN_REQUEST with 8 bytes of content, or PARAMS).
INLINE bool fcgi_start(const u8 *b, u32 n) { return n >= 8 && b[0] == 1 && b[1] == 1 && b[4] == 0 && b[5] == 8; }
INLINE bool tls_start(const u8 *b, u32 n) { return n >= 3 && b[0] == 0x16 && b[1] == 3; }

INLINE struct sock_state *state_of(struct sock *sk, u64 cookie, u32 slot)
{
	struct sock_state *st = bpf_map_lookup_elem(&socks, &cookie);
	u64 ino = 0;
	if (legacy_sockets)
		ino = sock_ino(sk);
	if (st && (!legacy_sockets || !st->ino || st->ino == ino)) {
		st->ino = ino;
		return st;
	}
	struct sock_state *fresh = (void *)get_scratch();
	if (!fresh)
		return NULL;
	__builtin_memset(fresh, 0, sizeof(*fresh));
	fill_tuple(&fresh->t, sk);
	fresh->t.cookie = cookie;
	fresh->slot = slot;
	fresh->ino = ino;
	bpf_map_update_elem(&socks, &cookie, fresh, UPDATE_ANY);
	return bpf_map_lookup_elem(&socks, &cookie);
}

// emit_net tells of st's owner and what it did, in a record of the caller's.
INLINE void emit_net(struct net_rec *r, struct sock_state *st, u16 op, u32 slot)
{
	__builtin_memset(r, 0, sizeof(*r));
	r->h.type = REC_NET;
	r->h.op = op;
	r->h.len = sizeof(*r);
	r->h.boot_ns = bpf_ktime_get_boot_ns();
	r->h.a = st->owner;
	r->t = st->t;
	r->inbound = (st->flags & SOCK_PASSIVE) != 0;
	out_precious(slot, CLASS_CONNECTION, r, sizeof(*r));
}

// claim tells of an accepted connection when its first real owner touches it: the state
// change itself happens in the peer's context and names the wrong process.
GLOBAL int claim(u64 cookie, u32 slot)
{
	struct sock_state *st = bpf_map_lookup_elem(&socks, &cookie);
	if (!st)
		return 0;
	if (slot >= SLOTS)
		return 0;
	st->flags |= SOCK_PASSIVE | SOCK_ACCEPTED | SOCK_OWNED;
	st->slot = slot;
	struct scratch *s = get_scratch();
	if (!s)
		return 0;
	fill_actor(&st->owner, CURRENT, slot);
	emit_net((void *)s, st, NET_ACCEPT, slot);
	return 0;
}

// emit_pair tells of both ends of a unix connection. Only the accepted end (it has the
// listener's address and its peer's pid is the client's) and socket pairs speak.
LOCAL int emit_pair(u64 sock, u64 cookie, u32 slot)
{
	struct unix_sock *u = (void *)sock;
	struct sock *sk = (void *)sock, *peer = RD(u, peer);
	struct sock_state *st = bpf_map_lookup_elem(&socks, &cookie);
	if (!peer || !st || slot >= SLOTS)
		return 0;
	struct unix_address *addr = RD(u, addr), *paddr = RD((struct unix_sock *)peer, addr);
	if (!addr && paddr) {
		st->flags |= SOCK_PAIRED;
		return 0;
	}
	struct pair_rec *r = (void *)get_scratch();
	if (!r)
		return 0;
	__builtin_memset(r, 0, sizeof(*r));
	r->ino = sock_ino(sk);
	r->peer_ino = sock_ino(peer);
	if (!r->ino || !r->peer_ino)
		return 0;
	st->flags |= SOCK_PAIRED;
	fill_hdr(&r->h, REC_PAIR, 0, slot);
	r->h.len = sizeof(*r);
	struct pid *pp = RD(sk, sk_peer_pid);
	if (pp) {
		// The number in the root namespace; pid_for's walk needs a task, so nested
		// agents get the client's number from its own events.
		bpf_probe_read_kernel(&r->peer_pid, 4, (void *)pp + FIELD_OFFSET(struct pid, numbers));
		struct slot_rec *s = bpf_map_lookup_elem(&slots, &slot);
		u32 level = RD(pp, level);
		for (u32 i = 1; s && s->pidns && i < 5 && i <= level; i++) {
			struct { s32 nr, pad; struct pid_namespace *ns; } n = {};
			bpf_probe_read_kernel(&n, sizeof(n), (void *)pp + FIELD_OFFSET(struct pid, numbers) + i * 16);
			if (RD(n.ns, ns.inum) == s->pidns)
				r->peer_pid = n.nr;
		}
	}
	if (addr) {
		s32 len = RD(addr, len) - 2;
		if (len > 0) {
			r->path_len = len > 107 ? 107 : len;
			bpf_probe_read_kernel(r->path, sizeof(r->path) - 1, &addr->name[0].sun_path);
		}
	}
	out_precious(slot, CLASS_CHANNEL, r, sizeof(*r));
	return 0;
}

// emit_data sends what a message begins with. cap bounds the bytes taken.
LOCAL int emit_data(u64 sock, u64 cookie, u32 slot, u64 buf, u64 len_cap)
{
	struct sock *sk = (void *)sock;
	struct scratch *s = get_scratch();
	struct sock_state *st = bpf_map_lookup_elem(&socks, &cookie);
	if (!s || !st || slot >= SLOTS)
		return 0;
	u32 want = (u32)len_cap & 0xffff; // bytes to take
	u32 op = (len_cap >> 16) & 0xff, start = (len_cap >> 24) & 0xff;
	struct data_rec *r = (void *)s;
	fill_hdr(&r->h, REC_DATA, op, slot);
	r->h.a.go = goroutine();
	r->t = st->t;
	r->ino = sock_ino(sk);
	r->peer_ino = 0;
	if (st->t.family == AF_UNIX) {
		struct sock *peer = RD((struct unix_sock *)sk, peer);
		if (peer)
			r->peer_ino = sock_ino(peer);
	}
	r->total = len_cap >> 32;
	r->proto = st->proto;
	r->start = start;
	r->nr = r->pad = 0;
	r->message = st->message;
	r->skipped = op == DATA_REQUEST ? st->skipped : 0;
	if (op == DATA_REQUEST)
		st->skipped = 0;
	u32 off = copy_user(s, sizeof(*r), buf, want, PIECE - 1);
	r->cap = off - sizeof(*r);
	r->h.len = off;
	out_precious(slot, CLASS_REQUEST, s, total(off));
	return 0;
}

INLINE u64 pack(u64 total_len, u32 want, u32 op, u32 start)
{
	if (total_len > 0xffffffffULL)
		total_len = 0xffffffffULL;
	return total_len << 32 | (u64)(start & 0xff) << 24 | (u64)(op & 0xff) << 16 | (want & 0xffff);
}

INLINE void skip(struct sock_state *st, u64 n)
{
	u64 sum = st->skipped + n;
	st->skipped = sum > 0x7fffffff ? 0x7fffffff : sum;
}

#define MAX_UNANSWERED 8 // messages taken up between two answers: a body full of starts must not fill the ring

// starts says whether a message begins with these bytes, and settles the protocol.
INLINE bool starts(struct sock_state *st, const u8 *b, u32 n)
{
	if (fcgi_start(b, n) && st->proto != PROTO_HTTP) {
		st->proto = PROTO_FCGI;
	} else if (st->proto == PROTO_FCGI || !http_start(b, n)) {
		if (st->proto == PROTO_UNKNOWN && tls_start(b, n))
			st->proto = PROTO_TLS;
		return false;
	} else if (st->proto == PROTO_UNKNOWN && http_answer(b)) {
		st->proto = PROTO_CLIENT;
		return false;
	} else if (st->budget && n < 16 && st->flags & SOCK_WAITING) {
		return false; // more likely the rest of a split head
	} else {
		st->proto = PROTO_HTTP;
	}
	// Few bytes may be the first ones of the next message, and it is unreadable without.
	return st->unanswered < (n < 16 ? 2 * MAX_UNANSWERED : MAX_UNANSWERED);
}

// received: bytes have come in on a stream socket. What a body holds may look like a
// start: that costs only room in the ring, for user space follows the framing and is
// told how many bytes it was not shown.
INLINE void received(struct sock *sk, struct sock_state *st, u64 cookie, u32 slot, u64 buf, u64 len, u64 ret)
{
	u8 b[16] = {};
	u32 n = len < 16 ? len : 16;
	if (st->proto == PROTO_CLIENT || st->proto == PROTO_TLS)
		return;
	if (!buf) {
		skip(st, ret);
		return;
	}
	if (n == 16)
		bpf_probe_read_user(b, 16, (void *)buf);
	else if (n >= 8)
		bpf_probe_read_user(b, 8, (void *)buf);
	else if (n > 0)
		bpf_probe_read_user(b, n & 7, (void *)buf);
	if (n > 8 && n < 16)
		n = 8;
	bool first = st->proto == PROTO_UNKNOWN;
	u32 start = starts(st, b, n);
	if (start) {
		if (bpf_map_lookup_elem(&muted, &cookie))
			return;
		if (first)
			st->skipped = 0;
		st->budget = message_max;
		st->message++;
		st->unanswered++;
		st->flags |= SOCK_WAITING;
	}
	if (st->budget == 0) {
		skip(st, ret);
		return;
	}
	u32 want = st->proto == PROTO_FCGI ? fcgi_max : read_max;
	if (want > st->budget)
		want = st->budget;
	if (want > len)
		want = len;
	st->budget -= want;
	emit_data((u64)sk, cookie, slot, buf, pack(ret, want, DATA_REQUEST, start));
}

// sent: bytes have gone out on a stream socket.
INLINE void sent(struct sock *sk, struct sock_state *st, u64 cookie, u32 slot, u64 buf, u64 len, u64 ret)
{
	u8 b[16] = {};
	if (st->proto == PROTO_UNKNOWN && buf && len >= 16) {
		bpf_probe_read_user(b, 16, (void *)buf);
		if (fcgi_start(b, 16) || (http_start(b, 16) && !http_answer(b)))
			st->proto = PROTO_CLIENT;
		return;
	}
	if (st->proto != PROTO_HTTP && st->proto != PROTO_FCGI)
		return;
	u32 start = 0;
	if (buf && len >= 16 && st->proto == PROTO_HTTP) {
		bpf_probe_read_user(b, 16, (void *)buf);
		start = http_answer(b);
	}
	if (!(st->flags & SOCK_WAITING) && !start)
		return;
	// "HTTP/1.1 1xx" asks for the body: the answer proper is still to come.
	if (!(start && b[9] == '1')) {
		st->flags &= ~SOCK_WAITING;
		st->unanswered = 0;
		// The start of the next message may have been read already: a client need not
		// wait, and a server may look for more while it works (Go reads one byte). The
		// rest then looks like no start.
		if (st->budget < read_max)
			st->budget = read_max;
	}
	emit_data((u64)sk, cookie, slot, buf, pack(ret, len < ANSWER_MAX ? len : ANSWER_MAX, DATA_ANSWER, start));
}
