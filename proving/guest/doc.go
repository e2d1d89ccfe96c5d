// SPDX-License-Identifier: Apache-2.0

// Package guest proves the kernel sensor on kernels that this machine does not run. In go
// a Debian kernel package and the programs to try; out come the lines of a Report: which
// hooks that kernel took and which not and why, the events of two chains from a request to
// the file and the connection behind it, and the results of sense/kernel's own tests.
//
// An initial RAM file system is made of a static init (package guest/inside), the static
// agent, busybox and, where this machine has them, the servers that the tests use. QEMU
// boots it without hardware virtualisation, so nothing of the host matters but time.
//
// It believes what the guest writes on its second serial port. The worst trap: an emulated
// processor is some thirty times slower, so a test that fails there for want of time says
// nothing about the kernel; look at what it waited for.
package guest
