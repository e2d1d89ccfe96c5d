// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/respond/process"
)

type kill struct{ e *Enforcer }

func (k *kill) kind() action.Kind { return action.KillTree }

func (k *kill) options(p *entity.Process) (process.Options, error) {
	spare, err := k.e.host.spare()
	if err != nil {
		return process.Options{}, err
	}
	opt := process.Options{Spare: spare, Most: k.e.cfg.Caps.Tree}
	if k.e.opt.Lineage != nil {
		opt.Lineage = func(int, uint64) []process.Stat { return k.e.strays(p, spare) }
	}
	return opt, nil
}

// strays are those that belong to a tree by their birth, wherever they stand now. Who is
// to be spared, and a service that somebody started from within the tree, stands apart
// with all below it: it neither dies with the tree nor holds up its end.
func (e *Enforcer) strays(p *entity.Process, spare func(process.Stat) string) (out []process.Stat) {
	apart := map[int]bool{}
	for _, s := range e.opt.Lineage(p) {
		if apart[s.PPID] || spare(s) != "" || e.service(program(s.PID)) && trusted(s.PID) {
			apart[s.PID] = true
			continue
		}
		out = append(out, s)
	}
	return out
}

// plan walks the tree only where nothing is done: until it is stopped it goes on.
func (k *kill) plan(_ context.Context, o *action.Order) (plan, error) {
	p := o.Subject.GetProcess()
	return plan{target: fmt.Sprint("pid ", p.GetPid(), " ", p.GetStartNs()), what: func() (string, error) {
		opt, err := k.options(p)
		if err != nil {
			return "", err
		}
		found, err := process.Find(int(p.GetPid()), process.Ticks(p.GetStartNs()), opt)
		return fmt.Sprintf("kill %d processes: %s", len(found), named(found)), err
	}}, nil
}

func (k *kill) act(ctx context.Context, o *action.Order, _ *inverse) (json.RawMessage, string, error) {
	p := o.Subject.GetProcess()
	opt, err := k.options(p)
	if err != nil {
		return nil, "", err
	}
	killed, err := process.Kill(ctx, int(p.GetPid()), process.Ticks(p.GetStartNs()), opt)
	if err != nil {
		return nil, "", err
	}
	if len(killed) == 0 {
		return nil, "it had ended already", nil
	}
	return nil, fmt.Sprintf("%d processes killed: %s", len(killed), named(killed)), nil
}

// verify looks at the root; that everybody has ended, and that a look at all of /proc
// finds nobody more, is what process.Kill ends with.
func (k *kill) verify(_ context.Context, o *action.Order, _ *inverse) error {
	p := o.Subject.GetProcess()
	st, err := process.Read(int(p.GetPid()))
	if err != nil || st.Dead() || st.Start != process.Ticks(p.GetStartNs()) {
		return nil
	}
	return fmt.Errorf("%s runs", named([]process.Stat{st}))
}

func (k *kill) undo(context.Context, *action.Order, *inverse) (string, error) {
	return "a process that was killed cannot be brought back; it may be started anew", nil
}
func (k *kill) resume([]held) error { return nil }
func (k *kill) off() error          { return nil }
func (k *kill) close()              {}

func named(ps []process.Stat) string {
	const most = 8
	var s string
	for i, p := range ps[:min(most, len(ps))] {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%s %d", p.Comm, p.PID)
	}
	if len(ps) > most {
		s += ", …"
	}
	return s
}
