// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
// What goes through the rings, and the maps' values. record.go reads the same layout:
// change both, and raise RECORD_VERSION (recordVersion there): New refuses a pinned set of
// another one. 2: what stands in exec_rec for the pipes was padding, and bulk records wake.
#pragma once
#define RECORD_VERSION 2

enum rec_type {
	REC_FORK = 1, REC_EXEC = 2, REC_EXIT = 3, REC_DATA = 4, REC_NET = 5, REC_PAIR = 6, REC_FILE = 7,
	REC_SYSCALL = 8, REC_DNS = 9,
};
// Classes of the loss counters.
enum rec_class {
	CLASS_PROCESS = 0, CLASS_REQUEST = 1, CLASS_CONNECTION = 2, CLASS_CHANNEL = 3, CLASS_FILE = 4,
	CLASS_SENSITIVE = 5, CLASS_PRIVILEGE = 6, CLASS_DATAGRAM = 7, CLASS_RESET = 8, CLASSES = 9,
};
#define SLOTS 64 // scopes on one kernel; index SLOTS of the counters is "no scope"

struct actor { u64 start_ns, cgroup, go; u32 pid, tid, uid, netns; char comm[16]; };
struct hdr { u16 type, op; u32 len; u64 boot_ns; struct actor a; };

struct tuple {
	u16 family, proto, lport, rport; // ports in host order
	u32 netns, pad;
	u64 cookie;
	u8 laddr[16], raddr[16]; // IPv4 in the first four bytes
};
struct fork_rec { struct hdr h; u64 child_start; u32 child_pid, ppid; u32 mnt, pid, net, user, child_mnt, child_pidns, child_net, child_user; };
struct fd_rec { u16 mode, is_tty; u32 rdev; u64 ino; struct tuple t; };
struct exec_rec {
	struct hdr h;
	u64 parent_start, ino, dev, size;
	u32 ppid, gid, euid, nlink, mode, owner;
	u32 mnt, pid, net, user;
	u32 argv_total;
	u16 exe_len, cwd_len, name_len, script; // lengths of what follows, in this order
	u16 argv_len, env_len;
	u16 pipes, pad; // pipes: bit per fd whose pipe the parent holds too
	char tty[24];
	struct fd_rec fd[3];
};
struct exit_rec { struct hdr h; s32 code; u32 pad; };

enum data_op { DATA_REQUEST = 1, DATA_ANSWER = 2 };
enum data_proto { PROTO_UNKNOWN = 0, PROTO_HTTP = 1, PROTO_FCGI = 2, PROTO_TLS = 3, PROTO_CLIENT = 4 };
struct data_rec {
	struct hdr h;
	struct tuple t;
	u64 ino, peer_ino;
	u32 total, cap;           // bytes moved by this call; bytes that follow
	u16 proto, start, nr, pad; // start: a message begins here
	u32 message, skipped;     // how many messages began on this socket; bytes not told since the last record
};
enum net_op { NET_BIND = 1, NET_LISTEN = 2, NET_ACCEPT = 3, NET_CONNECT = 4, NET_CLOSE = 5, NET_RESET = 6, NET_SEND = 9 };
struct net_rec { struct hdr h; struct tuple t; u64 received, sent; s32 result; u16 inbound, failed; };
struct pair_rec { struct hdr h; u64 ino, peer_ino; u32 peer_pid, path_len; char path[108]; u32 pad; };
struct dns_rec { struct hdr h; struct tuple t; u32 total, cap; };
struct file_rec {
	struct hdr h;
	u64 ino, dev, size;
	u32 mode, nlink, owner, flags;
	u16 a_len, a_base_len, b_len, b_base_len; // strings, each with the folder it is relative to
};
struct syscall_rec { struct hdr h; u64 arg[4]; s64 ret; u32 nr, target; u16 text_len, path_len; u32 pad; };

// Socket state, by cookie.
enum { SOCK_PASSIVE = 1, SOCK_ACCEPTED = 2, SOCK_CONNECTING = 4, SOCK_PAIRED = 8, SOCK_WAITING = 16, SOCK_OWNED = 32 };
struct sock_state {
	struct actor owner;
	struct tuple t;
	u32 flags, slot, budget, message;
	u16 proto, unanswered; // messages begun since the last answer
	u32 skipped;
	u64 ino; // legacy only: tells a reused sock address
};
struct listen_key { u32 netns, port; };
struct scope_entry { u32 gen, slot; }; // slot+1; 0: out of scope
struct slot_rec { u32 pidns, self, active, version; u64 beat_ns; };
struct counters { u64 seen, filtered, lost, capped; };
struct cap_state { u64 window; u32 count, pad; };
struct dynamic { u32 gen, default_slot; }; // default_slot+1: who gets what no scope claims

// The cursor of record.go stands on these; TestLayout holds it to the same numbers.
_Static_assert(sizeof(struct hdr) == 72 && sizeof(struct tuple) == 56 && sizeof(struct fd_rec) == 72, "parts");
_Static_assert(sizeof(struct fork_rec) == 120 && sizeof(struct exec_rec) == 408 && sizeof(struct exit_rec) == 80, "processes");
_Static_assert(sizeof(struct data_rec) == 168 && sizeof(struct net_rec) == 152 && sizeof(struct pair_rec) == 208, "sockets");
_Static_assert(sizeof(struct dns_rec) == 136 && sizeof(struct file_rec) == 120 && sizeof(struct syscall_rec) == 128, "calls");
_Static_assert(sizeof(struct slot_rec) == 24 && sizeof(struct counters) == 32, "maps");
