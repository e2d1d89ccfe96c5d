// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
// The kernel half of package sense/kernel. See doc.go for what it sees and why these hooks.
#include "helpers.h"
#include "kernel_types.h"
#include "records.h"
#include "core.h"
#include "path.h"
#define CURRENT ((struct task_struct *)bpf_get_current_task())
#include "sock.h"
#include "proc.h"
#include "sockhooks.h"
#include "sys.h"

char _license[] SEC("license") = "Dual BSD/GPL";
