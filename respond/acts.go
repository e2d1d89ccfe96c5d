// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/respond/address"
	"github.com/ringwall/ringwall/respond/connection"
	"github.com/ringwall/ringwall/respond/isolate"
	"github.com/ringwall/ringwall/respond/quarantine"
)

// actuator does one kind of action. All calls belong to the turn.
type actuator interface {
	kind() action.Kind
	plan(context.Context, *action.Order) (plan, error) // looks, touches nothing
	// act does it; doing it again is no error. The part of the inverse is replaced by
	// the one it gives, unless that is nil.
	act(context.Context, *action.Order, *inverse) (part json.RawMessage, what string, err error)
	verify(context.Context, *action.Order, *inverse) error
	undo(context.Context, *action.Order, *inverse) (note string, err error) // nothing to undo is no error
	resume([]held) error                                                    // at start: these should hold
	off() error                                                             // removes what is ours, known or not
	close()
}

// plan is what an action would touch.
type plan struct {
	what    func() (string, error) // after "would"; asked only where nothing is done
	target  string                 // what counts against the caps
	inverse json.RawMessage
}

// would is a plan whose text costs nothing.
func would(format string, a ...any) func() (string, error) {
	return func() (string, error) { return fmt.Sprintf(format, a...), nil }
}

// errRefused is wrapped by a plan that must not be carried out.
var errRefused = errors.New("refused")

func refused(format string, a ...any) error {
	return fmt.Errorf("%w: %s", errRefused, fmt.Sprintf(format, a...))
}

// open makes the actuators; one that cannot be had is left out, with the reason.
func (e *Enforcer) open() error {
	if e.opt.Netns != "" {
		ns, err := os.Open(e.opt.Netns)
		if err != nil {
			return fmt.Errorf("respond: network namespace of the host: %w", err)
		}
		e.ns = ns
	}
	e.acts, e.cannot = map[action.Kind]actuator{}, map[action.Kind]error{}
	add := func(k action.Kind, a actuator, err error) {
		if err != nil {
			e.cannot[k] = fmt.Errorf("%s cannot be done here: %w", k, err)
			e.opt.Board.Set(Name+"."+string(k), health.Off, err.Error())
			return
		}
		e.acts[k] = a
		e.opt.Board.Set(Name+"."+string(k), health.On, "")
	}
	diag, err := connection.Open(e.ns)
	if err != nil {
		return fmt.Errorf("respond: %w", err)
	}
	e.host = &host{cfg: &e.cfg, opt: &e.opt, ns: e.ns, diag: diag}
	table, err := address.Open(e.ns)
	add(action.BlockAddress, &block{e, table}, lacking(err, unix.CAP_NET_ADMIN))
	add(action.CutConnection, &cut{e, diag}, lacking(nil, unix.CAP_NET_ADMIN))
	add(action.KillTree, &kill{e}, lacking(nil, unix.CAP_KILL))
	store, err := quarantine.Open(e.opt.Root, e.cfg.Folder, e.cfg.WebRoots)
	add(action.QuarantineFile, &hide{e, store}, lacking(err, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER))
	wall, err := isolate.Open(e.ns)
	add(action.IsolateHost, &apart{e, wall}, lacking(err, unix.CAP_NET_ADMIN))
	state, reason := health.On, ""
	if len(e.cannot) > 0 {
		state, reason = health.Degraded, fmt.Sprintf("%d of %d kinds of action cannot be done here", len(e.cannot), len(action.Sequence))
	}
	e.opt.Board.Set(Name, state, reason)
	return nil
}

// lacking names the capabilities of these that the process does not have; an error that
// was found already is theirs then. A unit gives capabilities without root, and a
// container root without capabilities.
func lacking(err error, caps ...int) error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if e := unix.Capget(&head, &have[0]); e != nil {
		return fmt.Errorf("ask for the own capabilities: %w", e)
	}
	names := map[int]string{unix.CAP_NET_ADMIN: "CAP_NET_ADMIN", unix.CAP_KILL: "CAP_KILL", unix.CAP_DAC_OVERRIDE: "CAP_DAC_OVERRIDE", unix.CAP_FOWNER: "CAP_FOWNER"}
	var lack []string
	for _, c := range caps {
		if have[c/32].Effective&(1<<(c%32)) == 0 {
			lack = append(lack, names[c])
		}
	}
	if len(lack) > 0 {
		return fmt.Errorf("needs %s: run as root, or with deploy/systemd/enforce.conf", strings.Join(lack, ", "))
	}
	return err
}

func (inv *inverse) left() time.Duration {
	return time.Duration(inv.UntilNs) - time.Duration(event.BootNow())
}
