// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
// Processes: fork, exec, exit.
#pragma once


INLINE u32 ns_inum(void *ns_ptr, u64 offset)
{
	u32 v = 0;
	if (ns_ptr)
		bpf_probe_read_kernel(&v, sizeof(v), ns_ptr + offset);
	return v;
}

INLINE void fill_namespaces(struct task_struct *t, u32 *mnt, u32 *pid, u32 *net, u32 *user)
{
	struct nsproxy *ns = RD(t, nsproxy);
	struct cred *cred = RD(t, cred);
	struct pid *p = RD(t, thread_pid);
	*mnt = *pid = *net = *user = 0;
	if (ns) {
		*mnt = ns_inum(RD(ns, mnt_ns), FIELD_OFFSET(struct mnt_namespace, ns.inum));
		*net = ns_inum(RD(ns, net_ns), FIELD_OFFSET(struct net, ns.inum));
	}
	*user = ns_inum(RD(cred, user_ns), FIELD_OFFSET(struct user_namespace, ns.inum));
	if (p) {
		u32 level = RD(p, level) & 31;
		struct pid_namespace *pns = NULL;
		bpf_probe_read_kernel(&pns, sizeof(pns), (void *)p + FIELD_OFFSET(struct pid, numbers) + level * 16 + 8);
		*pid = ns_inum(pns, FIELD_OFFSET(struct pid_namespace, ns.inum));
	}
}

SEC("tp_btf/sched_process_fork")
int on_fork(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];
	if (RD(child, pid) != RD(child, tgid))
		return 0; // a thread
	u32 slot = slot_of_current();
	if (slot >= SLOTS) {
		count(NO_SLOT, CLASS_PROCESS, 1);
		return 0;
	}
	struct fork_rec r = {};
	fill_hdr(&r.h, REC_FORK, 0, slot);
	r.h.len = sizeof(r);
	r.h.a.go = goroutine();
	r.child_start = RD(child, start_boottime);
	r.child_pid = pid_for(child, slot);
	r.ppid = pid_for(RD(child, real_parent), slot);
	fill_namespaces(parent, &r.mnt, &r.pid, &r.net, &r.user);
	fill_namespaces(child, &r.child_mnt, &r.child_pidns, &r.child_net, &r.child_user);
	out_precious(slot, CLASS_PROCESS, &r, sizeof(r));
	return 0;
}

SEC("tp_btf/sched_process_exit")
int on_exit(u64 *ctx)
{
	struct task_struct *t = (void *)ctx[0];
	struct signal_struct *sig = RD(t, signal);
	if (RD(sig, live.counter) != 0)
		return 0; // other threads go on
	u32 slot = slot_of_current();
	if (slot >= SLOTS) {
		count(NO_SLOT, CLASS_PROCESS, 1);
		return 0;
	}
	struct exit_rec r = {};
	fill_hdr(&r.h, REC_EXIT, 0, slot);
	r.h.len = sizeof(r);
	r.code = RD(t, exit_code);
	out_precious(slot, CLASS_PROCESS, &r, sizeof(r));
	return 0;
}

INLINE void fill_fd(struct fd_rec *d, struct task_struct *t, u32 fd)
{
	__builtin_memset(d, 0, sizeof(*d));
	struct file *f = file_of_fd(t, fd);
	if (!f)
		return;
	struct inode *i = RD(f, f_inode);
	d->mode = RD(i, i_mode);
	d->rdev = RD(i, i_rdev);
	d->ino = RD(i, i_ino);
	if ((d->mode & 0170000) == 0140000) {
		struct socket *so = RD(f, private_data);
		struct sock *sk = RD(so, sk);
		if (sk)
			fill_tuple(&d->t, sk);
	}
}

#define LOOK_AT 128 // descriptors of a parent that are looked at for a pipe

// shared_pipes tells at which of fd 0-2 stands a pipe that the parent holds an end of, so
// reads or writes: a bit per fd.
LOCAL u32 shared_pipes(u64 task, u64 parent)
{
	struct task_struct *t = (void *)task, *p = (void *)parent;
	u64 want[3] = {}, found = 0;
	for (u32 i = 0; i < 3; i++) {
		struct file *f = file_of_fd(t, i);
		if (!f)
			continue;
		struct inode *in = RD(f, f_inode);
		if ((RD(in, i_mode) & 0170000) == 0010000)
			want[i] = (u64)RD(f, private_data); // struct pipe_inode_info, of both ends
	}
	if (!want[0] && !want[1] && !want[2])
		return 0;
	struct files_struct *fs = RD(p, files);
	if (!fs)
		return 0;
	struct fdtable *fdt = RD(fs, fdt);
	u32 most = RD(fdt, max_fds);
	struct file **array = RD(fdt, fd);
	for (u32 i = 0; i < LOOK_AT; i++) {
		struct file *f = NULL;
		if (i >= most)
			break;
		bpf_probe_read_kernel(&f, sizeof(f), array + i);
		if (!f)
			continue;
		u64 is = (u64)RD(f, private_data);
		if (!is)
			continue;
		found |= (is == want[0]) | (is == want[1]) << 1 | (is == want[2]) << 2;
	}
	return found;
}

// exec_head fills the fixed part but for the lengths of what follows.
INLINE void exec_head(struct exec_rec *r, struct task_struct *t, u32 slot)
{
	struct task_struct *parent = RD(t, real_parent);
	struct task_struct *pl = RD(parent, group_leader);
	struct cred *cred = RD(t, cred);
	struct signal_struct *sig = RD(t, signal);
	struct tty_struct *tty = RD(sig, tty);
	fill_hdr(&r->h, REC_EXEC, 0, slot);
	r->parent_start = RD(pl, start_boottime);
	r->ppid = pid_for(pl, slot);
	r->gid = RD(cred, gid.val);
	r->euid = RD(cred, euid.val);
	fill_namespaces(t, &r->mnt, &r->pid, &r->net, &r->user);
	r->tty[0] = 0;
	if (tty)
		bpf_probe_read_kernel_str(r->tty, sizeof(r->tty), &tty->name);
	fill_fd(&r->fd[0], t, 0);
	fill_fd(&r->fd[1], t, 1);
	fill_fd(&r->fd[2], t, 2);
}

INLINE void fill_inode(struct file *f, u64 *ino, u64 *dev, u64 *size, u32 *mode, u32 *nlink, u32 *owner)
{
	struct inode *i = RD(f, f_inode);
	struct super_block *sb = RD(i, i_sb);
	*ino = RD(i, i_ino);
	*dev = RD(sb, s_dev);
	*size = RD(i, i_size);
	*mode = RD(i, i_mode);
	*nlink = RD(i, i_nlink);
	*owner = RD(i, i_uid.val);
}

SEC("tp_btf/sched_process_exec")
int on_exec(u64 *ctx)
{
	struct linux_binprm *bprm = (void *)ctx[2];
	u32 slot = slot_of_current();
	if (slot >= SLOTS) {
		count(NO_SLOT, CLASS_PROCESS, 1);
		return 0;
	}
	struct scratch *s = get_scratch();
	if (!s)
		return 0;
	struct task_struct *t = CURRENT;
	struct exec_rec *r = (void *)s;
	exec_head(r, t, slot);
	struct task_struct *parent = RD(t, real_parent);
	r->pipes = shared_pipes((u64)t, (u64)RD(parent, group_leader));
	struct mm_struct *mm = RD(t, mm);
	struct file *exe = RD(mm, exe_file);
	u32 off = sizeof(*r);
	fill_inode(exe, &r->ino, &r->dev, &r->size, &r->mode, &r->nlink, &r->owner);
	u32 w = file_path(exe, off);
	r->exe_len = w;
	off = step(off, w);

	struct fs_struct *fs = RD(t, fs);
	w = walk_path((u64)RD(fs, pwd.dentry), (u64)RD(fs, pwd.mnt), off);
	r->cwd_len = w;
	off = step(off, w);

	char *name = RD(bprm, filename), *interp = RD(bprm, interp);
	r->script = name != interp;
	r->name_len = 0;
	if (off <= DATA_MAX) {
		long n = bpf_probe_read_kernel_str(&s->b[off], 1024, name);
		if (n > 1) {
			r->name_len = n - 1;
			off += n - 1;
		}
	}
	u64 from = RD(mm, arg_start), len = RD(mm, arg_end) - from;
	r->argv_total = len;
	u32 next = copy_user(s, off, from, len, argv_max);
	r->argv_len = next - off;
	off = next;
	from = RD(mm, env_start);
	len = RD(mm, env_end) - from;
	next = copy_user(s, off, from, len, env_max);
	r->env_len = next - off;
	off = next;
	r->h.len = off;
	out_precious(slot, CLASS_PROCESS, s, total(off));
	return 0;
}
