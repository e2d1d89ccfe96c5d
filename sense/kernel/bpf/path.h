// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
// Paths by walking dentries, crossing mounts: what the kernel itself would resolve, not
// the string the program passed (so no race with it).
#pragma once

#define PATH_DETACHED 0x8000 // the walk ended at no root: memfd, pipe, unmounted
#define PATH_CUT 0x4000      // deeper than MAX_PARTS
#define PATH_LEN 0x3fff
#define MAX_PARTS 40

// walk_path appends the names from the leaf up, each with its NUL, at off of the scratch
// buffer; user space turns them round. Returns the length written and the flags.
GLOBAL u32 walk_path(u64 dentry, u64 vfsmnt, u32 off)
{
	struct scratch *s = get_scratch();
	struct dentry *d = (void *)dentry;
	struct mount *m = (void *)vfsmnt - FIELD_OFFSET(struct mount, mnt);
	u32 start = off;
	u32 flags = PATH_CUT;
	if (!s || !d || !vfsmnt)
		return PATH_DETACHED;
	for (int i = 0; i < MAX_PARTS; i++) {
		struct dentry *root = RD(m, mnt.mnt_root);
		if (d == root) {
			struct mount *up = RD(m, mnt_parent);
			if (up == m) {
				flags = 0;
				break;
			}
			d = RD(m, mnt_mountpoint);
			m = up;
			continue;
		}
		const unsigned char *name = RD(d, d_name.name);
		if (off > DATA_MAX)
			break;
		long n = bpf_probe_read_kernel_str(&s->b[off], 256, name);
		if (n > 0 && n <= 256)
			off += n;
		struct dentry *parent = RD(d, d_parent);
		if (parent == d) {
			flags = PATH_DETACHED;
			break;
		}
		d = parent;
	}
	u32 len = off - start;
	if (len > PATH_LEN)
		len = 0;
	return len | flags;
}

INLINE u32 file_path(struct file *f, u32 off)
{
	return walk_path((u64)RD(f, f_path.dentry), (u64)RD(f, f_path.mnt), off);
}

// step moves off past a walked path.
INLINE u32 step(u32 off, u32 walked)
{
	return off + (walked & PATH_LEN);
}

INLINE struct file *file_of_fd(struct task_struct *t, u32 fd)
{
	struct files_struct *fs = RD(t, files);
	if (!fs)
		return NULL;
	struct fdtable *fdt = RD(fs, fdt);
	if (fd >= RD(fdt, max_fds))
		return NULL;
	struct file **array = RD(fdt, fd);
	struct file *f = NULL;
	bpf_probe_read_kernel(&f, sizeof(f), array + fd);
	return f;
}
