// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Options of a kill.
type Options struct {
	// Spare tells why a process must not be killed; "" lets it be killed. One member
	// that is spared ends the whole attempt, and everybody goes on as before.
	Spare func(Stat) string
	// Lineage gives processes that are known to descend from one (from fork events),
	// whatever became of those between. May be nil.
	Lineage func(pid int, start uint64) []Stat
	// Most is how many processes a tree may have; beyond it nobody is killed.
	Most int
}

// SparedError says who stood in the way.
type SparedError struct {
	Who    Stat
	Reason string
}

// Error names the process and the reason.
func (e *SparedError) Error() string {
	return fmt.Sprintf("%s (pid %d) is to be spared: %s", e.Who.Comm, e.Who.PID, e.Reason)
}

// ErrTooMany is wrapped when a tree is larger than Options.Most.
var ErrTooMany = errors.New("tree is larger than allowed")

type life struct {
	pid   int
	start uint64
}

// tree is one attempt. members is append-only, so that indexes stay good.
type tree struct {
	root    life
	opt     Options
	act     bool // stop them; false: only look
	members []*Handle
	known   map[life]bool
	above   []int           // ancestors of the root: orphans end up with one of them
	foreign map[string]bool // sockets and pipes of those above
	marks   map[string]bool // sockets and pipes of members
	leaders map[int]bool    // pids of members: sessions and groups they may lead
	others  map[int]bool    // none of ours; true: for good, as they are older or dead
	missed  int             // in this pass: ended before they could be looked at
	late    int             // in this pass: members first seen dead, whose children may live
}

// patience is how many passes that only missed somebody may follow one another: a chain
// of short lives is caught sooner (a pass takes about 1 ms), a busy host never settles.
const patience = 100

// Find lists the tree without touching it.
func Find(pid int, start uint64, opt Options) ([]Stat, error) {
	t := newTree(pid, start, opt, false)
	defer t.close()
	_, err := t.pass(true)
	return t.stats(), err
}

// Kill stops the tree, then kills it, then looks again until a full pass finds nobody,
// and gives everyone it killed. A root that has ended already is no error; what Lineage
// knows to descend from it is killed all the same. It ends with an error when ctx does.
func Kill(ctx context.Context, pid int, start uint64, opt Options) (killed []Stat, err error) {
	t := newTree(pid, start, opt, true)
	defer t.close()
	done := 0
	defer func() {
		for _, h := range t.members[done:] { // whoever was only stopped goes on
			_ = h.Signal(unix.SIGCONT)
		}
	}()
	for thorough, unsettled := false, 0; ; {
		if err := ctx.Err(); err != nil {
			return t.stats()[:done], fmt.Errorf("kill the tree of pid %d: %d killed, and more keep coming: %w", pid, done, err)
		}
		found, err := t.pass(thorough)
		if err != nil {
			return t.stats()[:done], err
		}
		if t.missed+t.late > 0 && unsettled < patience {
			unsettled++
			found++
		}
		if found > 0 { // look once more before anyone dies: the dead lose their children
			thorough = false
			continue
		}
		if done == len(t.members) {
			if thorough {
				break
			}
			thorough = true
			continue
		}
		for ; done < len(t.members); done++ {
			if err := t.members[done].Signal(unix.SIGKILL); err != nil && !errors.Is(err, ErrGone) {
				return t.stats()[:done], fmt.Errorf("kill pid %d: %w", t.members[done].PID, err)
			}
		}
		thorough = true
	}
	for _, h := range t.members {
		if !h.Ended(2 * time.Second) {
			return t.stats(), fmt.Errorf("pid %d (%s) was killed and has not ended; it may hang in the kernel (state D)", h.PID, h.Comm)
		}
	}
	return t.stats(), nil
}

func newTree(pid int, start uint64, opt Options, act bool) *tree {
	t := &tree{
		root: life{pid, start}, opt: opt, act: act, known: map[life]bool{}, foreign: map[string]bool{},
		marks: map[string]bool{}, leaders: map[int]bool{}, others: map[int]bool{},
	}
	// The number of a root that is gone says nothing: it may have been given anew, and
	// the one that has it may lead a session of its own.
	if s, err := Read(pid); err == nil && s.Start == start {
		for _, a := range Ancestors(pid) {
			t.above = append(t.above, a.PID)
			for _, m := range Inodes(a.PID, Standard) {
				t.foreign[m] = true
			}
		}
	}
	if !slices.Contains(t.above, 1) {
		t.above = append(t.above, 1)
	}
	return t
}

func (t *tree) close() {
	for _, h := range t.members {
		h.Close()
	}
}

func (t *tree) stats() []Stat {
	out := make([]Stat, len(t.members))
	for i, h := range t.members {
		out[i] = h.Stat
	}
	return out
}

// pass looks everywhere a member may be and takes those that are new. A thorough pass
// also looks at all of /proc and once more at younger ones that were none of ours.
func (t *tree) pass(thorough bool) (found int, err error) {
	before := len(t.members)
	t.missed, t.late = 0, 0
	if err := t.take(t.root.pid, t.root.start); err != nil {
		return 0, err
	}
	for i := 0; i < len(t.members); i++ { // grows while it runs
		if err := t.takeChildren(t.members[i].PID); err != nil {
			return 0, err
		}
	}
	if thorough {
		maps.DeleteFunc(t.others, func(_ int, good bool) bool { return !good })
	}
	for _, a := range t.above {
		if err := t.takeOrphans(Children(a)); err != nil {
			return 0, err
		}
	}
	if thorough && len(t.members) == before {
		missed := t.missed // among all processes of a host somebody always ends
		if err := t.takeOrphans(All()); err != nil {
			return 0, err
		}
		t.missed = missed
	}
	if t.opt.Lineage != nil {
		for _, s := range t.opt.Lineage(t.root.pid, t.root.start) {
			if err := t.take(s.PID, s.Start); err != nil {
				return 0, err
			}
		}
	}
	return len(t.members) - before, nil
}

func (t *tree) takeChildren(pid int) error {
	for _, c := range Children(pid) {
		if err := t.take(c, 0); err != nil {
			return err
		}
	}
	return nil
}

// takeOrphans takes those that bear a mark of the tree, and their children at once:
// they may not live until the next pass.
func (t *tree) takeOrphans(pids []int) error {
	for _, pid := range pids {
		if _, other := t.others[pid]; other {
			continue
		}
		s, err := Read(pid)
		if err != nil {
			t.missed++
			continue
		}
		if s.Dead() && (t.leaders[s.SID] || t.leaders[s.PGID]) && !t.known[life{pid, s.Start}] {
			t.known[life{pid, s.Start}] = true
			t.others[pid] = true
			t.late++
			continue
		}
		if !t.marked(s) {
			t.others[pid] = s.Start < t.root.start || s.Dead()
			continue
		}
		n := len(t.members)
		if err := t.take(pid, s.Start); err != nil {
			return err
		}
		for ; n < len(t.members); n++ {
			if err := t.takeChildren(t.members[n].PID); err != nil {
				return err
			}
		}
	}
	return nil
}

// marked: a session is only ever inherited from its leader, a group joined only from
// within the session. The number of a session is not given to a new process while the
// session lives.
func (t *tree) marked(s Stat) bool {
	if s.Kernel || s.PID == 1 || s.Start < t.root.start || s.Dead() || slices.Contains(t.above, s.PID) {
		return false
	}
	if t.leaders[s.SID] || t.leaders[s.PGID] {
		return true
	}
	return len(t.marks) > 0 && slices.ContainsFunc(Inodes(s.PID, Standard), func(m string) bool { return t.marks[m] })
}

// take stops a process and makes it a member. Who has ended meanwhile is passed over.
func (t *tree) take(pid int, start uint64) error {
	if start != 0 && t.known[life{pid, start}] {
		return nil
	}
	h, err := Open(pid, start)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	l := life{pid, h.Start}
	if t.known[l] || h.Dead() {
		h.Close()
		return nil
	}
	if reason := t.spare(h.Stat); reason != "" {
		h.Close()
		return &SparedError{h.Stat, reason}
	}
	if t.opt.Most > 0 && len(t.members) >= t.opt.Most {
		h.Close()
		return fmt.Errorf("tree of pid %d: %w: more than %d processes", t.root.pid, ErrTooMany, t.opt.Most)
	}
	if t.act {
		if err := h.Signal(unix.SIGSTOP); err != nil {
			h.Close()
			if errors.Is(err, ErrGone) {
				return nil
			}
			return fmt.Errorf("stop pid %d: %w", pid, err)
		}
	}
	t.known[l] = true
	t.leaders[pid] = true
	t.members = append(t.members, h)
	for _, m := range Inodes(pid, Standard) {
		if !t.foreign[m] {
			t.marks[m] = true
		}
	}
	return nil
}

// spare holds here whatever the caller says: never init, ourselves or the kernel.
func (t *tree) spare(s Stat) string {
	switch {
	case s.PID == 1:
		return "it is init"
	case s.PID == os.Getpid():
		return "it is this program"
	case s.Kernel || s.PID == 2:
		return "it is the kernel's"
	case t.opt.Spare != nil:
		return strings.TrimSpace(t.opt.Spare(s))
	}
	return ""
}
