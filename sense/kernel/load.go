// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
)

// Capability is one hook: whether it is on, why not, and what its absence costs.
type Capability struct {
	Name   string `json:"name"`
	Set    string `json:"set"` // A always, B by policy, fallback, later
	On     bool   `json:"on"`
	Reason string `json:"reason,omitempty"`
	Since  string `json:"since,omitempty"` // the first kernel that has what the hook needs
	Costs  string `json:"costs,omitempty"` // what is not seen without it; where a fallback stands in: what that one misses
}

// hook is one program and what it is for.
type hook struct {
	program, tracepoint, set, costs, since string
	params                                 int    // that the tracepoint must have at least
	instead, misses                        string // the program that stands in, and what it does not see
}

const (
	first  = "5.10"
	misses = "what io_uring, sendfile and splice move; about 100 ns per syscall of the machine, whatever kernel.syscalls says"
)

var hooks = []hook{
	{program: "on_fork", tracepoint: "sched_process_fork", set: "A", since: first, costs: "process trees; nothing can be traced"},
	{program: "on_exec", tracepoint: "sched_process_exec", set: "A", since: first, costs: "commands and their arguments; nothing can be traced"},
	{program: "on_exit", tracepoint: "sched_process_exit", set: "A", since: first, costs: "ends of processes; pids are held longer"},
	{program: "on_state", tracepoint: "inet_sock_set_state", set: "A", since: first, costs: "accepted, opened, listening and closed TCP connections"},
	{program: "on_recv", tracepoint: "sock_recv_length", set: "A", since: "6.3", instead: "on_sys_exit_sockets", misses: misses, costs: "requests read from sockets"},
	{program: "on_send", tracepoint: "sock_send_length", set: "A", since: "6.3", instead: "on_sys_exit_sockets", misses: misses, costs: "answers, DNS questions, datagrams"},
	// The third parameter came with the resets that no socket sends, in 6.10.
	{program: "on_reset", tracepoint: "tcp_send_reset", set: "A", since: "6.10", params: 3, instead: "on_drop", costs: "probes of closed ports; the packet sensor alone sees them"},
	{program: "on_sys_exit", tracepoint: "sys_exit", set: "B", since: first, costs: "opens, renames, privilege calls, memfd, bind; file events then come from fanotify alone"},
	{program: "on_sys_exit_sockets", tracepoint: "sys_exit", set: "fallback", since: first, costs: "requests and answers, where sock_recv_length and sock_send_length are not to be had"},
	// The third parameter, the reason, came in 5.17.
	{program: "on_drop", tracepoint: "kfree_skb", set: "fallback", since: "5.17", params: 3, costs: "probes of closed ports, where tcp_send_reset does not tell of them"},
}

const (
	standsIn  = "a fallback stands in: "
	notNeeded = "not needed here"
	byPolicy  = "switched off by policy (syscalls: off)"
	refusal   = "refused by the kernel: "
)

// notCovered is what the project means to see and does not yet.
var notCovered = []Capability{
	{Name: "uprobe libssl SSL_read/SSL_write", Set: "later", Reason: "not yet covered", Costs: "plain text behind TLS"},
	{Name: "HTTP/2 read from sockets", Set: "later", Reason: "not yet covered; the FastCGI or HTTP/1 side behind it is seen", Costs: "requests of servers that speak HTTP/2 themselves"},
	{Name: "io_uring requests", Set: "later", Reason: "not yet covered; the ring's set-up is seen", Costs: "bytes and opens made through io_uring (lengths of socket calls are seen)"},
	{Name: "pipes of non-web servers", Set: "later", Reason: "not yet covered; pipes at fd 0-2 of an exec are seen, and that a web server holds the other end", Costs: "who wrote what a process read from a pipe"},
	{Name: "32-bit syscalls on a 64-bit kernel", Set: "later", Reason: "not yet covered", Costs: "set B of such programs is read by the wrong table"},
}

// goroutines says whether this kernel hands the programs the registers of the process that
// they run in: where the Go runtime keeps the goroutine.
func goroutines() Capability {
	c := Capability{Name: "helper bpf_task_pt_regs", Set: "A", Since: "5.15", Costs: "which goroutine of a Go server read a request and forked: they are tied by process alone"}
	spec, err := btf.LoadKernelSpec()
	var helpers *btf.Enum
	if err == nil {
		err = spec.TypeByName("bpf_func_id", &helpers)
	}
	switch {
	case err != nil:
		c.Reason = fmt.Sprintf("this kernel's helpers are not known: %v", err)
	case !slices.ContainsFunc(helpers.Values, func(v btf.EnumValue) bool { return v.Name == "BPF_FUNC_task_pt_regs" }):
		c.Reason = "this kernel has no helper of that name"
	default:
		c.On = true
	}
	return c
}

// offers gives how many parameters a tracepoint of this kernel hands over; 0: it has none
// of that name.
type offers func(tracepoint string) int

// lacks says why this kernel cannot serve a hook; "" if it can.
func (o offers) lacks(h *hook) string {
	switch n := o(h.tracepoint); {
	case n == 0:
		return "this kernel has no tracepoint " + h.tracepoint
	case n < h.params:
		return "this kernel's tracepoint " + h.tracepoint + " tells too little"
	}
	return ""
}

// has tells whether this kernel can serve a program.
func (o offers) has(program string) bool {
	i := slices.IndexFunc(hooks, func(h hook) bool { return h.program == program })
	return o.lacks(&hooks[i]) == ""
}

// wanted tells which hooks this configuration asks of a kernel with these tracepoints.
func wanted(cfg *Config, kernel offers) (on []hook, caps []Capability) {
	stand := map[string]bool{} // fallbacks that are needed
	sockets := cfg.Legacy || kernel("sock_recv_length") == 0 || kernel("sock_send_length") == 0
	for i := range hooks {
		h := &hooks[i]
		if h.instead != "" && (cfg.Legacy || kernel.lacks(h) != "" || sockets && h.instead == "on_sys_exit_sockets") {
			stand[h.instead] = true
		}
	}
	for _, h := range hooks {
		c := Capability{Name: h.tracepoint + "/" + h.program, Set: h.set, Since: h.since, Costs: h.costs, On: true}
		lack := kernel.lacks(&h)
		switch {
		case stand[h.instead] && kernel.has(h.instead):
			c.On, c.Reason, c.Costs = false, standsIn+cmp.Or(lack, "asked for"), h.misses
		case h.set == "fallback" && !stand[h.program]:
			c.On, c.Reason = false, notNeeded
		case lack != "":
			c.On, c.Reason = false, lack
		case h.set == "B" && !cfg.Syscalls:
			c.On, c.Reason = false, byPolicy
		}
		if c.On {
			on = append(on, h)
		}
		caps = append(caps, c)
	}
	return on, caps
}

// Refused is true where the kernel has what the program needs and would not load it.
func (c *Capability) Refused() bool { return !c.On && strings.HasPrefix(c.Reason, refusal) }

// StoodInFor is true where another hook, which is on, does the work of one that is off.
func (c *Capability) StoodInFor() bool { return strings.HasPrefix(c.Reason, standsIn) }

// Missed is true where a capability is off and nothing makes up for it, though it was
// wanted.
func (c *Capability) Missed() bool {
	return !c.On && c.Set != "later" && c.Reason != notNeeded && c.Reason != byPolicy && !c.StoodInFor()
}

// kernelOffers reads the kernel's BTF, where a tracepoint is a typedef btf_trace_NAME of a
// pointer to a function whose first parameter is not handed over.
func kernelOffers() (offers, error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, fmt.Errorf("read kernel types: %w (needs CONFIG_DEBUG_INFO_BTF and a mounted /sys)", err)
	}
	return func(tp string) int {
		var def *btf.Typedef
		if spec.TypeByName("btf_trace_"+tp, &def) != nil {
			return 0
		}
		if ptr, ok := def.Type.(*btf.Pointer); ok {
			if f, ok := ptr.Target.(*btf.FuncProto); ok {
				return len(f.Params) - 1
			}
		}
		return 0
	}, nil
}

// spec prepares the embedded object: programs wanted, constants set.
func (cfg *Config) spec(on []hook) (*ebpf.CollectionSpec, error) {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return nil, fmt.Errorf("read the embedded eBPF object: %w", err)
	}
	keep := map[string]bool{}
	legacy := uint32(0)
	for _, h := range on {
		keep[h.program] = true
		if h.program == "on_sys_exit_sockets" {
			legacy = 1
		}
	}
	for name := range spec.Programs {
		if !keep[name] {
			delete(spec.Programs, name)
		}
	}
	scoped := uint32(0)
	if cfg.scoped() {
		scoped = 1
	}
	vars := map[string]any{
		"scoped": scoped, "legacy_sockets": legacy, "syscalls": syscallBitmap(),
		"argv_max": uint32(cfg.ArgvBytes), "env_max": uint32(cfg.EnvBytes), "read_max": uint32(cfg.ReadBytes),
		"message_max": uint32(cfg.MessageBytes), "bulk_cap": uint32(cfg.BulkPerSec),
	}
	for name, v := range vars {
		if err := spec.Variables[name].Set(v); err != nil {
			return nil, fmt.Errorf("set eBPF constant %s: %w", name, err)
		}
	}
	spec.Maps["precious"].InnerMap.MaxEntries = uint32(cfg.PreciousRing)
	spec.Maps["bulk"].InnerMap.MaxEntries = uint32(cfg.BulkRing)
	return spec, nil
}

func (cfg *Config) scoped() bool { return cfg.Cgroup != "" || cfg.Netns != "" || cfg.Shared != "" }

func syscallBitmap() (out [8]uint64) {
	for _, nr := range syscallsWanted {
		out[nr>>6] |= 1 << (nr & 63)
	}
	return out
}

// load loads what is wanted. A program that the kernel refuses is left out and said so;
// only maps refused, or nothing left of set A, is an error.
func load(cfg *Config) (*ebpf.Collection, []hook, []Capability, error) {
	if err := rlimit.RemoveMemlock(); err != nil && !errors.Is(err, os.ErrPermission) {
		return nil, nil, nil, fmt.Errorf("lift the memory lock limit: %w", err)
	}
	kernel, err := kernelOffers()
	if err != nil {
		return nil, nil, nil, err
	}
	on, caps := wanted(cfg, kernel)
	for {
		spec, err := cfg.spec(on)
		if err != nil {
			return nil, nil, nil, err
		}
		coll, err := ebpf.NewCollection(spec)
		if err == nil {
			return coll, on, caps, nil
		}
		left := refused(cfg, on, caps)
		if len(left) == len(on) || len(left) == 0 {
			return nil, nil, caps, fmt.Errorf("load eBPF programs: %w (needs root, or CAP_BPF and CAP_PERFMON)", err)
		}
		on = left
	}
}

// refused tries each program by itself and gives those that load.
func refused(cfg *Config, on []hook, caps []Capability) (left []hook) {
	for _, h := range on {
		spec, err := cfg.spec([]hook{h})
		if err == nil {
			var coll *ebpf.Collection
			if coll, err = ebpf.NewCollection(spec); err == nil {
				coll.Close()
				left = append(left, h)
				continue
			}
		}
		for i := range caps {
			if caps[i].Name == h.tracepoint+"/"+h.program {
				caps[i].On, caps[i].Reason = false, refusal+lastLine(err)
			}
		}
	}
	return left
}

func lastLine(err error) string {
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) && len(ve.Log) > 1 {
		return fmt.Sprintf("%v: %s", ve.Cause, ve.Log[len(ve.Log)-2])
	}
	return err.Error()
}

// attach hooks the programs in. The links must stay referenced: the collector closes
// what is dropped, and the hook with it.
func attach(coll *ebpf.Collection, on []hook) ([]link.Link, error) {
	var links []link.Link
	for _, h := range on {
		l, err := link.AttachTracing(link.TracingOptions{Program: coll.Programs[h.program], AttachType: ebpf.AttachTraceRawTp})
		if err != nil {
			for _, l := range links {
				_ = l.Close()
			}
			return nil, fmt.Errorf("attach %s to %s: %w", h.program, h.tracepoint, err)
		}
		links = append(links, l)
	}
	return links, nil
}

// Probe says, without attaching anything, which hooks this kernel would take under cfg.
func Probe(cfg Config) []Capability {
	coll, _, caps, err := load(&cfg)
	if err != nil {
		for i := range caps {
			if caps[i].On {
				caps[i].On, caps[i].Reason = false, err.Error()
			}
		}
		if caps == nil {
			caps = []Capability{{Name: "eBPF", Set: "A", Reason: err.Error(), Costs: "the whole kernel sensor"}}
		}
	} else {
		coll.Close()
	}
	return append(append(caps, goroutines()), notCovered...)
}
