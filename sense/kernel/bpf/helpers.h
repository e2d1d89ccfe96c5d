// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
// The few kernel helper signatures we call, numbered as in include/uapi/linux/bpf.h,
// and the CO-RE read macros. Our own copy, so that building needs clang alone.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
// A global function is verified once, by itself: that keeps big programs loadable.
#define GLOBAL __attribute__((noinline))
// A local one is verified at each call, and so may take the kernel's own pointers.
#define LOCAL static __attribute__((noinline))

#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]

enum { MAP_HASH = 1, MAP_ARRAY = 2, MAP_PERCPU_ARRAY = 6, MAP_LRU_HASH = 9, MAP_ARRAY_OF_MAPS = 12, MAP_RINGBUF = 27 };
enum { UPDATE_ANY = 0, UPDATE_NOEXIST = 1 };

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static u64 (*bpf_get_current_task)(void) = (void *)35;
static u64 (*bpf_get_socket_cookie)(void *sk) = (void *)46;
static u64 (*bpf_get_current_cgroup_id)(void) = (void *)80;
static long (*bpf_probe_read_user)(void *dst, u32 size, const void *src) = (void *)112;
static long (*bpf_probe_read_kernel)(void *dst, u32 size, const void *src) = (void *)113;
static long (*bpf_probe_read_user_str)(void *dst, u32 size, const void *src) = (void *)114;
static long (*bpf_probe_read_kernel_str)(void *dst, u32 size, const void *src) = (void *)115;
static u64 (*bpf_get_current_ancestor_cgroup_id)(int level) = (void *)123;
static u64 (*bpf_ktime_get_boot_ns)(void) = (void *)125;
static long (*bpf_ringbuf_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;
static void *(*bpf_get_current_task_btf)(void) = (void *)158;
static u64 (*bpf_task_pt_regs)(void *task) = (void *)175;

// RD reads one field at the offset the running kernel gives it.
#define RD(p, f)                                              \
	({                                                        \
		typeof((p)->f) __v;                                   \
		bpf_probe_read_kernel(&__v, sizeof(__v), &(p)->f);    \
		__v;                                                  \
	})
#define FIELD_OFFSET(t, f) __builtin_preserve_field_info(((t *)0)->f, 0)
#define FIELD_EXISTS(t, f) __builtin_preserve_field_info(((t *)0)->f, 2)

// Bound tells the verifier (and forbids clang to undo it) that v fits the mask.
#define BOUND(v, mask) asm volatile("%0 &= %1" : "+r"(v) : "i"(mask))

#define ntohs(x) __builtin_bswap16(x)
