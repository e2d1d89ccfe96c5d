// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
// The fields of kernel structures that we read, named as in the kernel. Offsets come
// from the running kernel's BTF (CO-RE), so order and completeness do not matter here.
#pragma once
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct dentry;
struct sock;

// include/linux/dcache.h, fs.h, mount.h, fs/mount.h
struct qstr { u32 len; unsigned char *name; };
struct super_block { u32 s_dev; unsigned long s_magic; };
struct kid { u32 val; };
struct inode {
	u16 i_mode;
	struct kid i_uid;
	struct super_block *i_sb;
	unsigned long i_ino;
	u32 i_nlink;
	u32 i_rdev;
	s64 i_size;
};
struct dentry { struct dentry *d_parent; struct qstr d_name; struct inode *d_inode; };
struct vfsmount { struct dentry *mnt_root; };
struct mount { struct mount *mnt_parent; struct dentry *mnt_mountpoint; struct vfsmount mnt; };
struct path { struct vfsmount *mnt; struct dentry *dentry; };
struct file { struct path f_path; struct inode *f_inode; void *private_data; u32 f_flags; };
struct fdtable { u32 max_fds; struct file **fd; };
struct files_struct { struct fdtable *fdt; };
struct fs_struct { struct path root; struct path pwd; };

// include/linux/sched.h, sched/signal.h, cred.h, pid.h, nsproxy.h
struct ns_common { u32 inum; };
struct mnt_namespace { struct ns_common ns; };
struct pid_namespace { struct ns_common ns; };
struct user_namespace { struct ns_common ns; };
struct net { struct ns_common ns; };
struct nsproxy { struct mnt_namespace *mnt_ns; struct net *net_ns; };
struct upid { s32 nr; struct pid_namespace *ns; };
struct pid { u32 level; struct upid numbers[1]; };
struct cred {
	struct kid uid, gid, euid;
	struct caps { u64 v; } cap_effective; // one u64 since 6.3, two u32 before: the same bytes
	struct user_namespace *user_ns;
};
struct tty_struct { char name[64]; };
struct counter { s32 counter; };
struct signal_struct { struct counter live; struct tty_struct *tty; };
struct mm_struct { unsigned long arg_start, arg_end, env_start, env_end; struct file *exe_file; };
struct kernfs_node { struct kernfs_node *parent; u64 id; };
struct cgroup { struct kernfs_node *kn; };
struct css_set { struct cgroup *dfl_cgrp; };
struct task_struct {
	s32 pid, tgid, exit_code;
	u64 start_boottime;
	struct task_struct *real_parent, *group_leader;
	struct mm_struct *mm;
	struct pid *thread_pid;
	struct cred *cred, *real_cred;
	char comm[16];
	struct fs_struct *fs;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct css_set *cgroups;
};
struct linux_binprm { char *filename, *interp; };

// include/net/sock.h, inet_sock.h, af_unix.h, linux/tcp.h, net.h, skbuff.h
struct possible_net { struct net *net; };
struct in6 { u8 b[16]; };
struct sock_common {
	u32 skc_daddr, skc_rcv_saddr;
	u16 skc_dport, skc_num, skc_family;
	u8 skc_state;
	struct possible_net skc_net;
	struct in6 skc_v6_daddr, skc_v6_rcv_saddr;
	struct { u64 counter; } skc_cookie;
};
struct socket { struct file *file; struct sock *sk; };
struct sock {
	struct sock_common __sk_common;
	u16 sk_type, sk_protocol;
	struct socket *sk_socket;
	struct pid *sk_peer_pid;
};
struct inet_sock { struct sock sk; u16 inet_sport; };
struct tcp_sock { u64 bytes_received, bytes_acked; };
struct sockaddr_un { u16 sun_family; char sun_path[108]; };
struct unix_address { s32 len; struct sockaddr_un name[1]; };
struct unix_sock { struct sock sk; struct unix_address *addr; struct sock *peer; };
struct net_device { struct possible_net nd_net; };
struct sk_buff { struct net_device *dev; unsigned char *head; u16 network_header, transport_header; };

// arch/x86/include/asm/ptrace.h, arch/arm64/include/asm/ptrace.h
#if defined(__TARGET_ARCH_x86)
struct pt_regs { unsigned long r14, r10, r9, r8, ax, dx, si, di, orig_ax; };
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs { u64 regs[31]; u64 orig_x0; s32 syscallno; };
#endif
#pragma clang attribute pop

// Which helpers this kernel has (include/uapi/linux/bpf.h); absent values read as missing.
enum bpf_func_id { BPF_FUNC_get_current_task_btf = 158, BPF_FUNC_check_mtu = 163, BPF_FUNC_task_pt_regs = 175 };
#define HELPER_EXISTS(v) __builtin_preserve_enum_value(*(enum bpf_func_id *)v, 0)
// Helpers older than 5.12 that tracing programs may call only since then:
// get_socket_cookie and get_current_ancestor_cgroup_id. check_mtu came with them.
#define SINCE_5_12 HELPER_EXISTS(BPF_FUNC_check_mtu)

// include/net/dropreason*.h; the number is the running kernel's.
enum skb_drop_reason { SKB_DROP_REASON_NO_SOCKET = 3 };
#define NO_SOCKET __builtin_preserve_enum_value(*(enum skb_drop_reason *)SKB_DROP_REASON_NO_SOCKET, 1)

#if defined(__TARGET_ARCH_x86)
#define SYS_NR(r) ((u32)RD(r, orig_ax))
#define ARG1(r) RD(r, di)
#define ARG2(r) RD(r, si)
#define ARG3(r) RD(r, dx)
#define ARG4(r) RD(r, r10)
#define ARG5(r) RD(r, r8)
#define GO_G(r) RD(r, r14) // Go 1.17+ keeps the running g here
enum {
	NR_read = 0, NR_write = 1, NR_open = 2, NR_mmap = 9, NR_mprotect = 10, NR_readv = 19, NR_writev = 20, NR_accept = 43,
	NR_sendto = 44, NR_recvfrom = 45, NR_sendmsg = 46, NR_recvmsg = 47, NR_bind = 49, NR_rename = 82, NR_creat = 85,
	NR_link = 86, NR_unlink = 87, NR_symlink = 88, NR_chmod = 90, NR_fchmod = 91, NR_ptrace = 101, NR_setuid = 105,
	NR_setgid = 106, NR_setreuid = 113, NR_setregid = 114, NR_setresuid = 117, NR_setresgid = 119, NR_capset = 126,
	NR_pivot_root = 155, NR_mount = 165, NR_init_module = 175, NR_openat = 257, NR_unlinkat = 263, NR_renameat = 264,
	NR_linkat = 265, NR_symlinkat = 266, NR_fchmodat = 268, NR_unshare = 272, NR_accept4 = 288, NR_recvmmsg = 299,
	NR_sendmmsg = 307, NR_setns = 308, NR_process_vm_writev = 311, NR_finit_module = 313, NR_renameat2 = 316,
	NR_memfd_create = 319, NR_bpf = 321, NR_pkey_mprotect = 329, NR_io_uring_setup = 425, NR_move_mount = 429,
	NR_openat2 = 437, NR_fchmodat2 = 452,
};
#elif defined(__TARGET_ARCH_arm64)
#define SYS_NR(r) ((u32)RD(r, syscallno))
#define ARG1(r) RD(r, orig_x0)
#define ARG2(r) RD(r, regs[1])
#define ARG3(r) RD(r, regs[2])
#define ARG4(r) RD(r, regs[3])
#define ARG5(r) RD(r, regs[4])
#define GO_G(r) RD(r, regs[28])
enum {
	NR_read = 63, NR_write = 64, NR_open = 1000, NR_mmap = 222, NR_mprotect = 226, NR_readv = 65, NR_writev = 66,
	NR_accept = 202, NR_sendto = 206, NR_recvfrom = 207, NR_sendmsg = 211, NR_recvmsg = 212, NR_bind = 200,
	NR_rename = 1001, NR_creat = 1002, NR_link = 1003, NR_unlink = 1004, NR_symlink = 1005, NR_chmod = 1006,
	NR_fchmod = 52, NR_ptrace = 117, NR_setuid = 146, NR_setgid = 144, NR_setreuid = 145, NR_setregid = 143,
	NR_setresuid = 147, NR_setresgid = 149, NR_capset = 91, NR_pivot_root = 41, NR_mount = 40, NR_init_module = 105,
	NR_openat = 56, NR_unlinkat = 35, NR_renameat = 38, NR_linkat = 37, NR_symlinkat = 36, NR_fchmodat = 53,
	NR_unshare = 97, NR_accept4 = 242, NR_recvmmsg = 243, NR_sendmmsg = 269, NR_setns = 268, NR_process_vm_writev = 271,
	NR_finit_module = 273, NR_renameat2 = 276, NR_memfd_create = 279, NR_bpf = 280, NR_pkey_mprotect = 288,
	NR_io_uring_setup = 425, NR_move_mount = 429, NR_openat2 = 437, NR_fchmodat2 = 452,
}; // 1000 and up: calls arm64 does not have
#endif
