// SPDX-License-Identifier: Apache-2.0

// Package kernel is the sensor inside the kernel: processes, sockets and the request
// bytes they carry, files, and the calls that give power.
//
// In come records of eBPF programs (bpf/*.h, compiled objects committed and embedded);
// out go *event.Event with process, file, kernel, network, channel, http, dns and loss
// payloads. It believes what the kernel's own objects say (dentries, socks, tasks) and
// nothing that a program claims by argument, but for the names given to rename, link and
// unlink, whose dentries are gone when the call returns.
//
// Set A costs nothing to a program that neither forks nor uses sockets: scheduler
// tracepoints, sock_recv_length and sock_send_length, inet_sock_set_state,
// tcp_send_reset. Set B hooks the exit of syscalls and costs every syscall of the machine
// about 100 ns, so a policy switches it. Nothing here needs fentry, LSM or kprobes.
//
// Precious records (processes, requests, connections, channels, privilege) and bulk ones
// (files, datagrams, resets) have rings of their own, so that a storm of files cannot hide
// a shell. Bulk kinds are capped per process and second; what is capped or lost is
// counted per class and told as loss windows each second.
//
// The worst trap: a socket's state changes in its peer's context. Who accepted is known
// only when somebody takes or touches the connection, and that is when it is told.
package kernel
