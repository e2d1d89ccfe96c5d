// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"os"

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
	Costs  string `json:"costs"` // what is not seen without it
}

// hook is one program and what it is for.
type hook struct {
	program, tracepoint, set, costs string
}

var hooks = []hook{
	{"on_fork", "sched_process_fork", "A", "process trees; nothing can be traced"},
	{"on_exec", "sched_process_exec", "A", "commands and their arguments; nothing can be traced"},
	{"on_exit", "sched_process_exit", "A", "ends of processes; pids are held longer"},
	{"on_state", "inet_sock_set_state", "A", "accepted, opened, listening and closed TCP connections"},
	{"on_recv", "sock_recv_length", "A", "requests read from sockets (kernels before 6.3: sys_exit stands in)"},
	{"on_send", "sock_send_length", "A", "answers, DNS questions, datagrams (kernels before 6.3: sys_exit stands in)"},
	{"on_reset", "tcp_send_reset", "A", "probes of closed ports"},
	{"on_sys_exit", "sys_exit", "B", "opens, renames, privilege calls, memfd, bind; file events then come from fanotify alone"},
	{"on_sys_exit_sockets", "sys_exit", "fallback", "requests on kernels before 6.3"},
}

// notCovered is what the project means to see and does not yet.
var notCovered = []Capability{
	{Name: "uprobe libssl SSL_read/SSL_write", Set: "later", Reason: "not yet covered", Costs: "plain text behind TLS"},
	{Name: "HTTP/2 read from sockets", Set: "later", Reason: "not yet covered; the FastCGI or HTTP/1 side behind it is seen", Costs: "requests of servers that speak HTTP/2 themselves"},
	{Name: "io_uring requests", Set: "later", Reason: "not yet covered; the ring's set-up is seen", Costs: "bytes and opens made through io_uring (lengths of socket calls are seen)"},
	{Name: "pipes of non-web servers", Set: "later", Reason: "not yet covered; pipes at fd 0-2 of an exec are seen", Costs: "who wrote what a process read from a pipe"},
	{Name: "32-bit syscalls on a 64-bit kernel", Set: "later", Reason: "not yet covered", Costs: "set B of such programs is read by the wrong table"},
}

// wanted tells which hooks this configuration asks of a kernel with these tracepoints.
func wanted(cfg *Config, has func(tracepoint string) bool) (on []hook, caps []Capability) {
	legacy := cfg.Legacy || !has("sock_recv_length") || !has("sock_send_length")
	for _, h := range hooks {
		c := Capability{Name: h.tracepoint + "/" + h.program, Set: h.set, Costs: h.costs, On: true}
		switch {
		case !has(h.tracepoint):
			c.On, c.Reason = false, "this kernel has no tracepoint "+h.tracepoint
		case h.set == "B" && !cfg.Syscalls:
			c.On, c.Reason = false, "switched off by policy (syscalls: off)"
		case h.set == "fallback" && !legacy:
			c.On, c.Reason = false, "not needed: sock_recv_length and sock_send_length are there"
		case legacy && (h.program == "on_recv" || h.program == "on_send"):
			c.On, c.Reason = false, "the fallback stands in"
		}
		if c.On {
			on = append(on, h)
		}
		caps = append(caps, c)
	}
	return on, caps
}

// kernelHas looks a tracepoint up in the kernel's BTF.
func kernelHas() (func(string) bool, error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, fmt.Errorf("read kernel types: %w (needs CONFIG_DEBUG_INFO_BTF and a mounted /sys)", err)
	}
	return func(tp string) bool {
		_, err := spec.AnyTypeByName("btf_trace_" + tp)
		return err == nil
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
		if h.set == "fallback" {
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
	has, err := kernelHas()
	if err != nil {
		return nil, nil, nil, err
	}
	on, caps := wanted(cfg, has)
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
				caps[i].On, caps[i].Reason = false, "refused by the kernel: "+lastLine(err)
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
	return append(caps, notCovered...)
}
