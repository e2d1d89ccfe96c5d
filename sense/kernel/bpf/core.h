// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
// Maps, scope, actor, caps and the way out: what every program uses.
#pragma once

// Filled in by the loader before load.
volatile const u64 syscalls[8];      // bitmap of syscall numbers wanted at exit
volatile const u32 scoped = 0;       // 0: one slot, whole machine
volatile const u32 argv_max = 4095, env_max = 4095;
volatile const u32 read_max = 4095, fcgi_max = 8191, message_max = 8192;
volatile const u32 bulk_cap = 2000;  // bulk records per process and second
volatile const u32 init_pidns = 0xEFFFFFFC; // PROC_PID_INIT_INO
volatile const u32 legacy_sockets = 0; // 1: no sock_*_length here, syscalls stand in

#define DATA_MAX 16384 // highest offset at which a piece may begin
#define PIECE 8192     // longest piece
struct scratch { u8 b[DATA_MAX + PIECE + 64]; };
struct ring { __uint(type, MAP_RINGBUF); __uint(max_entries, 65536); };

struct { __uint(type, MAP_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, struct scratch); } scratch SEC(".maps");
struct { __uint(type, MAP_PERCPU_ARRAY); __uint(max_entries, (SLOTS + 1) * CLASSES); __type(key, u32); __type(value, struct counters); } counters SEC(".maps");
struct { __uint(type, MAP_ARRAY_OF_MAPS); __uint(max_entries, SLOTS); __type(key, u32); __array(values, struct ring); } precious SEC(".maps");
struct { __uint(type, MAP_ARRAY_OF_MAPS); __uint(max_entries, SLOTS); __type(key, u32); __array(values, struct ring); } bulk SEC(".maps");
struct { __uint(type, MAP_ARRAY); __uint(max_entries, SLOTS); __type(key, u32); __type(value, struct slot_rec); } slots SEC(".maps");
struct { __uint(type, MAP_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, struct dynamic); } dynamic SEC(".maps");
struct { __uint(type, MAP_HASH); __uint(max_entries, 256); __type(key, u64); __type(value, u32); } scope_cgroups SEC(".maps");
struct { __uint(type, MAP_HASH); __uint(max_entries, 256); __type(key, u32); __type(value, u32); } scope_netns SEC(".maps");
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 4096); __type(key, u64); __type(value, struct scope_entry); } scope_cache SEC(".maps");
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 32768); __type(key, u64); __type(value, struct sock_state); } socks SEC(".maps");
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 4096); __type(key, struct listen_key); __type(value, struct actor); } listeners SEC(".maps");
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 8192); __type(key, u64); __type(value, struct cap_state); } caps SEC(".maps");
struct { __uint(type, MAP_HASH); __uint(max_entries, 4096); __type(key, char[32]); __type(value, u32); } sensitive SEC(".maps");

// Sockets that user space found to speak something else.
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 8192); __type(key, u64); __type(value, u32); } muted SEC(".maps");

#define NO_SLOT SLOTS

INLINE void count(u32 slot, u32 class, u32 what)
{
	u32 key = slot * CLASSES + class;
	struct counters *c = bpf_map_lookup_elem(&counters, &key);
	if (!c)
		return;
	if (what == 0)
		c->seen++;
	else if (what == 1)
		c->filtered++;
	else if (what == 2)
		c->lost++;
	else
		c->capped++;
}

INLINE u32 netns_of(struct sock *sk)
{
	struct net *net = RD(sk, __sk_common.skc_net.net);
	return RD(net, ns.inum);
}

INLINE u32 slot_of_netns(u32 netns)
{
	u32 zero = 0, *s;
	if (!scoped)
		return 0;
	s = bpf_map_lookup_elem(&scope_netns, &netns);
	if (s)
		return *s < SLOTS ? *s : NO_SLOT;
	struct dynamic *d = bpf_map_lookup_elem(&dynamic, &zero);
	if (d && d->default_slot && d->default_slot <= SLOTS)
		return d->default_slot - 1;
	return NO_SLOT;
}

INLINE struct kernfs_node *own_kernfs(void)
{
	struct task_struct *t = (void *)bpf_get_current_task();
	struct css_set *set = RD(t, cgroups);
	struct cgroup *cg = RD(set, dfl_cgrp);
	return RD(cg, kn);
}

// slot_of_cgroup walks the ancestors of current's cgroup once and remembers the answer.
GLOBAL u32 slot_of_cgroup(u64 id, u32 gen)
{
	struct scope_entry e = {.gen = gen, .slot = 0};
	u32 *s = bpf_map_lookup_elem(&scope_cgroups, &id);
	struct kernfs_node *kn = NULL;
	if (!SINCE_5_12)
		kn = own_kernfs();
	for (int level = 1; !s && level < 12; level++) {
		u64 up;
		if (SINCE_5_12) {
			up = bpf_get_current_ancestor_cgroup_id(level);
		} else {
			kn = kn ? RD(kn, parent) : NULL; // from the leaf up
			up = kn ? RD(kn, id) : 0;
		}
		if (!up)
			break;
		s = bpf_map_lookup_elem(&scope_cgroups, &up);
	}
	if (s && *s < SLOTS)
		e.slot = *s + 1;
	bpf_map_update_elem(&scope_cache, &id, &e, UPDATE_ANY);
	return e.slot;
}

// slot_of_current says whose ring current's records belong in, NO_SLOT for nobody's.
INLINE u32 slot_of_current(void)
{
	u32 zero = 0;
	if (!scoped)
		return 0;
	struct dynamic *d = bpf_map_lookup_elem(&dynamic, &zero);
	if (!d)
		return NO_SLOT;
	u64 id = bpf_get_current_cgroup_id();
	struct scope_entry *e = bpf_map_lookup_elem(&scope_cache, &id);
	u32 slot = e && e->gen == d->gen ? e->slot : slot_of_cgroup(id, d->gen);
	if (!slot) {
		struct task_struct *t = (void *)bpf_get_current_task();
		struct nsproxy *ns = RD(t, nsproxy);
		if (!ns)
			return NO_SLOT;
		struct net *net = RD(ns, net_ns);
		return slot_of_netns(RD(net, ns.inum));
	}
	return slot <= SLOTS ? slot - 1 : NO_SLOT;
}

// pid_for is the task's number as the agent of the slot sees it: its /proc, its kill().
INLINE u32 pid_for(struct task_struct *t, u32 slot)
{
	struct slot_rec *s = bpf_map_lookup_elem(&slots, &slot);
	if (!s || !s->pidns || s->pidns == init_pidns)
		return RD(t, pid);
	struct pid *p = RD(t, thread_pid);
	if (!p)
		return RD(t, pid);
	u32 level = RD(p, level);
	for (u32 i = 1; i < 5 && i <= level; i++) {
		struct upid u;
		// struct upid is {int nr; pointer ns}: 16 bytes on every 64-bit kernel.
		bpf_probe_read_kernel(&u, sizeof(u), (void *)p + FIELD_OFFSET(struct pid, numbers) + i * 16);
		struct pid_namespace *ns = *(struct pid_namespace **)((void *)&u + 8);
		if (RD(ns, ns.inum) == s->pidns)
			return *(s32 *)&u;
	}
	return RD(t, pid);
}

INLINE void fill_actor(struct actor *a, struct task_struct *t, u32 slot)
{
	struct task_struct *leader = RD(t, group_leader);
	struct cred *cred = RD(t, cred);
	struct nsproxy *ns = RD(t, nsproxy);
	a->tid = pid_for(t, slot);
	a->pid = leader == t ? a->tid : pid_for(leader, slot);
	a->start_ns = RD(leader, start_boottime);
	a->uid = RD(cred, uid.val);
	a->cgroup = bpf_get_current_cgroup_id();
	a->go = 0;
	a->netns = 0;
	if (ns) {
		struct net *net = RD(ns, net_ns);
		a->netns = RD(net, ns.inum);
	}
	bpf_probe_read_kernel(a->comm, sizeof(a->comm), &leader->comm);
}

INLINE void fill_hdr(struct hdr *h, u16 type, u16 op, u32 slot)
{
	h->type = type;
	h->op = op;
	h->boot_ns = bpf_ktime_get_boot_ns();
	fill_actor(&h->a, (void *)bpf_get_current_task(), slot);
}

// goroutine is the g register of the syscall's user frame; user space forgets it where
// the program is not Go.
INLINE u64 goroutine(void)
{
	if (!HELPER_EXISTS(BPF_FUNC_task_pt_regs) || !HELPER_EXISTS(BPF_FUNC_get_current_task_btf))
		return 0;
	struct pt_regs *r = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	return GO_G(r);
}

// over_cap is true when this process has had its share of bulk records this second.
INLINE bool over_cap(u32 slot, u32 class, u64 who)
{
	u64 now = bpf_ktime_get_boot_ns();
	struct cap_state *c = bpf_map_lookup_elem(&caps, &who);
	if (!c || now - c->window > 1000000000ULL) {
		struct cap_state fresh = {.window = now, .count = 1};
		bpf_map_update_elem(&caps, &who, &fresh, UPDATE_ANY);
		return false;
	}
	// Kernels before 5.12 cannot add and fetch at once; two processors may both see the
	// last free place.
	u32 so_far = c->count;
	__sync_fetch_and_add(&c->count, 1);
	if (so_far < bulk_cap)
		return false;
	count(slot, class, 3);
	return true;
}

INLINE bool is_self(u32 slot, struct hdr *h)
{
	struct slot_rec *s = bpf_map_lookup_elem(&slots, &slot);
	return s && s->self && s->self == h->a.pid;
}

// The ring wakes its reader with the first record after it was drained; the reader then
// leaves the rest to gather (../ring.go). So a silent ring costs nothing.
INLINE void out(void *ring, u32 slot, u32 class, void *data, u64 len)
{
	if (ring)
		count(slot, class, bpf_ringbuf_output(ring, data, len, 0) ? 2 : 0);
}

INLINE void out_precious(u32 slot, u32 class, void *data, u64 len)
{
	out(bpf_map_lookup_elem(&precious, &slot), slot, class, data, len);
}

INLINE void out_bulk(u32 slot, u32 class, void *data, u64 len)
{
	out(bpf_map_lookup_elem(&bulk, &slot), slot, class, data, len);
}

// Only programs that run in process context may use the scratch buffer: they do not
// interrupt each other on one processor, but on_state and on_reset interrupt them. It
// also keeps the stack within 512 bytes over all calls, which kernels before 6.13 ask
// (each frame rounded up to 32).
INLINE struct scratch *get_scratch(void)
{
	u32 zero = 0;
	return bpf_map_lookup_elem(&scratch, &zero);
}

// total bounds a record's length for the verifier.
INLINE u64 total(u64 len)
{
	BOUND(len, 0x7fff);
	return len > sizeof(struct scratch) ? sizeof(struct scratch) : len;
}

// copy_user appends n bytes of user memory; on a fault nothing is appended.
INLINE u32 copy_user(struct scratch *s, u32 off, u64 src, u64 n, u32 max)
{
	if (n > max)
		n = max;
	BOUND(n, PIECE - 1);
	if (off > DATA_MAX || n == 0)
		return off;
	if (bpf_probe_read_user(&s->b[off], n, (void *)src))
		return off;
	return off + n;
}

// copy_user_str appends a NUL-terminated user string without its NUL.
INLINE u32 copy_user_str(struct scratch *s, u32 off, u64 src)
{
	if (off > DATA_MAX || !src)
		return off;
	long n = bpf_probe_read_user_str(&s->b[off], 1024, (void *)src);
	return n > 0 ? off + (u32)n - 1 : off;
}
