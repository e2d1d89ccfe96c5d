// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"strings"
	"testing"
)

// TestWanted: which programs each kernel is asked to take, and what nothing makes up for.
// What the kernels themselves say is in docs/kernels.md.
func TestWanted(t *testing.T) {
	base := map[string]int{"sched_process_fork": 2, "sched_process_exec": 3, "sched_process_exit": 1, "inet_sock_set_state": 3, "sys_exit": 2}
	with := func(recv, reset, drop int) offers {
		return func(tp string) int {
			switch tp {
			case "sock_recv_length", "sock_send_length":
				return recv
			case "tcp_send_reset":
				return reset
			case "kfree_skb":
				return drop
			}
			return base[tp]
		}
	}
	both := "on_fork on_exec on_exit on_state"
	for _, c := range []struct {
		name              string
		kernel            offers
		change            func(*Config)
		on, stood, missed string
	}{
		{"5.10", with(0, 2, 2), nil, both + " on_sys_exit on_sys_exit_sockets", "on_recv on_send", "on_reset on_drop"},
		{"6.1", with(0, 2, 3), nil, both + " on_sys_exit on_sys_exit_sockets on_drop", "on_recv on_send on_reset", ""},
		{"6.6", with(4, 2, 3), nil, both + " on_recv on_send on_sys_exit on_drop", "on_reset", ""},
		{"6.12", with(4, 3, 3), nil, both + " on_recv on_send on_reset on_sys_exit", "", ""},
		{"6.12 legacy", with(4, 3, 3), func(c *Config) { c.Legacy = true }, both + " on_sys_exit on_sys_exit_sockets on_drop", "on_recv on_send on_reset", ""},
		{"6.12 without set B", with(4, 3, 3), func(c *Config) { c.Syscalls = false }, both + " on_recv on_send on_reset", "", ""},
		{"none", func(string) int { return 0 }, nil, "", "", both + " on_recv on_send on_reset on_sys_exit on_sys_exit_sockets on_drop"},
	} {
		cfg := Defaults()
		if c.change != nil {
			c.change(&cfg)
		}
		hooks, caps := wanted(&cfg, c.kernel)
		var on, told, stood, missed []string
		for _, h := range hooks {
			on = append(on, h.program)
		}
		for i := range caps {
			_, program, _ := strings.Cut(caps[i].Name, "/")
			switch c := &caps[i]; {
			case c.On:
				told = append(told, program)
			case c.StoodInFor():
				stood = append(stood, program)
			case c.Missed():
				missed = append(missed, program)
			}
		}
		for what, pair := range map[string][2]string{
			"loaded": {strings.Join(on, " "), c.on}, "told as on": {strings.Join(told, " "), c.on},
			"stood in for": {strings.Join(stood, " "), c.stood}, "missed": {strings.Join(missed, " "), c.missed},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %s %q, want %q", c.name, what, pair[0], pair[1])
			}
		}
	}
}
