// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
// What only syscalls tell. One program on sys_exit: the number is looked at first, because
// every syscall of the machine passes here.
#pragma once

#define O_ACCMODE 3
#define O_CREAT 0100
#define O_TRUNC 01000
#define AT_FDCWD -100
#define S_IFMT 0170000
#define S_IFREG 0100000
#define PROT_WX 6
enum { FILE_OPEN_WRITE = 1, FILE_RENAME = 3, FILE_LINK = 4, FILE_UNLINK = 5, FILE_CHMOD_EXEC = 6, FILE_READ = 7, FILE_MEMFD = 8 };

// is_sensitive looks up the name, the folder's name ("/" before it: everything in it is
// listed) and the ending ("*" before it). User space then matches the whole path.
INLINE bool is_sensitive(struct file *f)
{
	struct dentry *d = RD(f, f_path.dentry), *parent = RD(d, d_parent);
	unsigned char *s = RD(d, d_name.name);
	char name[32] = {}, tail[16] = {};
	bpf_probe_read_kernel_str(name, sizeof(name), s);
	if (bpf_map_lookup_elem(&sensitive, name))
		return true;
	__builtin_memset(name, 0, sizeof(name));
	name[0] = '/';
	bpf_probe_read_kernel_str(name + 1, sizeof(name) - 1, RD(parent, d_name.name));
	if (bpf_map_lookup_elem(&sensitive, name))
		return true;
	u32 len = RD(d, d_name.len), dot = 16;
	if (len > 15)
		s += len - 15;
	bpf_probe_read_kernel_str(tail, sizeof(tail), s);
	for (int i = 0; i < 15; i++)
		if (tail[i] == '.')
			dot = i;
	if (dot > 14)
		return false;
	__builtin_memset(name, 0, sizeof(name));
	name[0] = '*';
	bpf_probe_read_kernel_str(name + 1, 16, s + dot);
	return bpf_map_lookup_elem(&sensitive, name) != NULL;
}

// emit_file tells of an open file: the path by walking, so as the kernel resolved it.
GLOBAL int emit_file(u64 file, u32 op, u32 slot, u32 flags)
{
	struct scratch *s = get_scratch();
	if (!s || slot >= SLOTS)
		return 0;
	struct file *f = (void *)file;
	struct file_rec *r = (void *)s;
	fill_hdr(&r->h, REC_FILE, op, slot);
	if (is_self(slot, &r->h))
		return 0;
	u32 class = op == FILE_OPEN_WRITE ? CLASS_FILE : CLASS_SENSITIVE;
	if (over_cap(slot, class, bpf_get_current_pid_tgid() >> 32 | (u64)op << 40))
		return 0;
	fill_inode(f, &r->ino, &r->dev, &r->size, &r->mode, &r->nlink, &r->owner);
	r->flags = flags;
	r->a_base_len = r->b_len = r->b_base_len = 0;
	u32 w = file_path(f, sizeof(*r));
	r->a_len = w;
	u32 off = step(sizeof(*r), w);
	r->h.len = off;
	if (class == CLASS_FILE)
		out_bulk(slot, class, s, total(off));
	else
		out_precious(slot, class, s, total(off));
	return 0;
}

// base_path appends the folder a relative string starts from.
INLINE u32 base_path(struct task_struct *t, int dfd, u32 off)
{
	if (dfd != AT_FDCWD) {
		struct file *f = file_of_fd(t, dfd);
		return f ? file_path(f, off) : PATH_DETACHED;
	}
	struct fs_struct *fs = RD(t, fs);
	return walk_path((u64)RD(fs, pwd.dentry), (u64)RD(fs, pwd.mnt), off);
}

INLINE bool absolute(struct scratch *s, u32 off)
{
	return off <= DATA_MAX && s->b[off] == '/';
}

// emit_names tells of a call that took names, not files: the strings as given, and the
// folders they start from. b is 0 where the call takes one name.
GLOBAL int emit_names(u32 op, u32 slot, u64 a, u64 b, u64 dirs)
{
	struct scratch *s = get_scratch();
	if (!s || slot >= SLOTS)
		return 0;
	int adir = (int)dirs, bdir = (int)(dirs >> 32);
	struct task_struct *t = CURRENT;
	struct file_rec *r = (void *)s;
	fill_hdr(&r->h, REC_FILE, op, slot);
	if (is_self(slot, &r->h))
		return 0;
	u32 class = op == FILE_CHMOD_EXEC ? CLASS_SENSITIVE : CLASS_FILE;
	if (over_cap(slot, class, bpf_get_current_pid_tgid() >> 32 | (u64)op << 40))
		return 0;
	r->ino = r->dev = r->size = 0;
	r->mode = r->nlink = r->owner = r->flags = 0;
	r->a_base_len = r->b_len = r->b_base_len = 0;
	u32 off = sizeof(*r), next = copy_user_str(s, off, a), w;
	r->a_len = next - off;
	if (!absolute(s, off)) {
		w = base_path(t, adir, next);
		r->a_base_len = w;
		next = step(next, w);
	}
	if (b) {
		off = next;
		next = copy_user_str(s, off, b);
		r->b_len = next - off;
		if (!absolute(s, off)) {
			w = base_path(t, bdir, next);
			r->b_base_len = w;
			next = step(next, w);
		}
	}
	r->h.len = next;
	if (class == CLASS_FILE)
		out_bulk(slot, class, s, total(next));
	else
		out_precious(slot, class, s, total(next));
	return 0;
}

INLINE u64 two(int a, int b) { return (u64)(u32)a | (u64)(u32)b << 32; }

// emit_call tells of a rare call by its number, arguments and, where it has one, a text.
LOCAL int emit_call(u64 regs, u32 slot, s64 ret, u64 text)
{
	struct scratch *s = get_scratch();
	struct pt_regs *r = (void *)regs;
	if (!s || slot >= SLOTS)
		return 0;
	struct syscall_rec *v = (void *)s;
	fill_hdr(&v->h, REC_SYSCALL, 0, slot);
	if (is_self(slot, &v->h))
		return 0;
	v->nr = SYS_NR(r);
	if (over_cap(slot, CLASS_PRIVILEGE, bpf_get_current_pid_tgid() >> 32 | (u64)CLASS_PRIVILEGE << 33))
		return 0;
	v->arg[0] = ARG1(r);
	v->arg[1] = ARG2(r);
	v->arg[2] = ARG3(r);
	v->arg[3] = ARG4(r);
	v->ret = ret;
	v->target = v->pad = 0;
	if (v->nr == NR_capset) {
		struct cred *c = RD(CURRENT, cred);
		bpf_probe_read_kernel(&v->arg[2], 8, &c->cap_effective);
	}
	u32 off = sizeof(*v), next = copy_user_str(s, off, text);
	v->text_len = next - off;
	v->path_len = 0;
	if (v->nr == NR_finit_module || v->nr == NR_setns || v->nr == NR_mprotect || v->nr == NR_mmap || v->nr == NR_memfd_create) {
		u32 fd = v->nr == NR_mmap ? 0xffffffff : v->nr == NR_memfd_create ? (u32)ret : (u32)v->arg[0];
		struct file *f = v->nr == NR_mprotect ? NULL : file_of_fd(CURRENT, fd);
		if (f) {
			u32 w = file_path(f, next);
			v->path_len = w;
			next = step(next, w);
			struct inode *i = RD(f, f_inode);
			v->arg[3] = RD(i, i_ino);
		}
	}
	v->h.len = next;
	out_precious(slot, CLASS_PRIVILEGE, s, total(next));
	return 0;
}

INLINE void opened(struct pt_regs *r, u32 slot, s64 fd, u64 flags)
{
	struct file *f = file_of_fd(CURRENT, fd);
	if (!f)
		return;
	struct inode *i = RD(f, f_inode);
	if ((RD(i, i_mode) & S_IFMT) != S_IFREG)
		return;
	if ((RD(f, f_flags) & O_ACCMODE) || flags & (O_CREAT | O_TRUNC))
		emit_file((u64)f, FILE_OPEN_WRITE, slot, flags);
	else if (is_sensitive(f))
		emit_file((u64)f, FILE_READ, slot, flags);
}

INLINE void socket_call(u32 nr, u32 slot, s64 ret, u64 fd)
{
	struct file *f = file_of_fd(CURRENT, nr == NR_bind ? fd : ret);
	if (!f)
		return;
	struct socket *so = RD(f, private_data);
	struct sock *sk = RD(so, sk);
	u16 family = RD(sk, __sk_common.skc_family);
	if (family != AF_INET && family != AF_INET6)
		return;
	if (nr == NR_bind) {
		struct net_rec *v = (void *)get_scratch();
		if (!v)
			return;
		__builtin_memset(v, 0, sizeof(*v));
		fill_hdr(&v->h, REC_NET, NET_BIND, slot);
		v->h.len = sizeof(*v);
		fill_tuple(&v->t, sk);
		out_precious(slot, CLASS_CONNECTION, v, sizeof(*v));
		return;
	}
	u64 cookie = known_cookie(sk);
	struct sock_state *st = bpf_map_lookup_elem(&socks, &cookie);
	if (st && !(st->flags & SOCK_ACCEPTED))
		claim(cookie, slot);
}

INLINE void file_call(struct pt_regs *r, u32 nr, u32 slot, s64 ret)
{
	switch (nr) {
	case NR_openat:
		return opened(r, slot, ret, ARG3(r));
	case NR_open:
		return opened(r, slot, ret, ARG2(r));
	case NR_creat:
		return opened(r, slot, ret, O_CREAT);
	case NR_openat2: {
		u64 flags = 0; // struct open_how begins with the flags
		bpf_probe_read_user(&flags, sizeof(flags), (void *)ARG3(r));
		return opened(r, slot, ret, flags);
	}
	case NR_rename:
		emit_names(FILE_RENAME, slot, ARG1(r), ARG2(r), two(AT_FDCWD, AT_FDCWD));
		return;
	case NR_renameat: case NR_renameat2:
		emit_names(FILE_RENAME, slot, ARG2(r), ARG4(r), two(ARG1(r), ARG3(r)));
		return;
	case NR_link: case NR_symlink:
		emit_names(FILE_LINK, slot, ARG1(r), ARG2(r), two(AT_FDCWD, AT_FDCWD));
		return;
	case NR_linkat:
		emit_names(FILE_LINK, slot, ARG2(r), ARG4(r), two(ARG1(r), ARG3(r)));
		return;
	case NR_symlinkat:
		emit_names(FILE_LINK, slot, ARG1(r), ARG3(r), two(AT_FDCWD, ARG2(r)));
		return;
	case NR_unlink:
		emit_names(FILE_UNLINK, slot, ARG1(r), 0, two(AT_FDCWD, AT_FDCWD));
		return;
	case NR_unlinkat:
		emit_names(FILE_UNLINK, slot, ARG2(r), 0, two(ARG1(r), AT_FDCWD));
		return;
	case NR_chmod:
		if (ARG2(r) & 0111)
			emit_names(FILE_CHMOD_EXEC, slot, ARG1(r), 0, two(AT_FDCWD, AT_FDCWD));
		return;
	case NR_fchmodat: case NR_fchmodat2:
		if (ARG3(r) & 0111)
			emit_names(FILE_CHMOD_EXEC, slot, ARG2(r), 0, two(ARG1(r), AT_FDCWD));
		return;
	case NR_fchmod:
		if (ARG2(r) & 0111) {
			struct file *f = file_of_fd(CURRENT, ARG1(r));
			if (f)
				emit_file((u64)f, FILE_CHMOD_EXEC, slot, 0);
		}
		return;
	}
}

// worth_telling: of calls whose arguments decide, only the telling ones.
INLINE bool worth_telling(struct pt_regs *r, u32 nr)
{
	u64 a = ARG1(r);
	if (nr == NR_mmap || nr == NR_mprotect || nr == NR_pkey_mprotect)
		return (ARG3(r) & PROT_WX) == PROT_WX;
	if (nr == NR_bpf)
		return a == 5; // BPF_PROG_LOAD
	if (nr == NR_ptrace) // TRACEME, POKETEXT, POKEDATA, SETREGS, ATTACH, SETREGSET, SEIZE
		return a == 0 || a == 4 || a == 5 || a == 13 || a == 16 || a == 0x4205 || a == 0x4206;
	return true;
}

SEC("tp_btf/sys_exit")
int on_sys_exit(u64 *ctx)
{
	struct pt_regs *r = (void *)ctx[0];
	s64 ret = ctx[1];
	u32 nr = SYS_NR(r);
	u32 word = nr >> 6;
	BOUND(word, 7);
	if (nr >= 512 || !(syscalls[word] & 1ULL << (nr & 63)))
		return 0;
	// A refused attempt at power tells as much as a granted one; the rest only if done.
	bool attempt = nr == NR_mount || nr == NR_setns || nr == NR_unshare || nr == NR_pivot_root || nr == NR_init_module ||
		       nr == NR_finit_module || nr == NR_bpf || nr == NR_ptrace || nr == NR_move_mount;
	if (ret < 0 && ret >= -4095 && !attempt)
		return 0;
	if (!worth_telling(r, nr))
		return 0;
	u32 slot = slot_of_current();
	if (slot >= SLOTS) {
		count(NO_SLOT, CLASS_PRIVILEGE, 1);
		return 0;
	}
	u64 text = 0;
	switch (nr) {
	case NR_bind: case NR_accept: case NR_accept4:
		socket_call(nr, slot, ret, ARG1(r));
		return 0;
	case NR_memfd_create: case NR_pivot_root:
		text = ARG1(r);
		break;
	case NR_mount:
		text = ARG2(r);
		break;
	case NR_move_mount:
		text = ARG4(r);
		break;
	case NR_finit_module:
		text = ARG2(r);
		break;
	case NR_bpf:
		text = ARG2(r) + 48; // union bpf_attr.prog_name
		break;
	case NR_init_module: case NR_ptrace: case NR_process_vm_writev: case NR_setns: case NR_unshare: case NR_setuid:
	case NR_setgid: case NR_setreuid: case NR_setregid: case NR_setresuid: case NR_setresgid: case NR_capset:
	case NR_mmap: case NR_mprotect: case NR_pkey_mprotect: case NR_io_uring_setup:
		break;
	default:
		file_call(r, nr, slot, ret);
		return 0;
	}
	emit_call((u64)r, slot, ret, text);
	return 0;
}
