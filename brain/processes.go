// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// Life is one life of a pid as the archive tells it. Zero fields were not told.
type Life struct {
	PID       uint32
	StartNs   uint64 // since boot
	Comm      string
	Exe       string
	UID       uint32
	Container string
	Parent    string // its id, see LifeID
	Argv      []string
	Cwd       string
	TTY       string
	Started   time.Time // of its first exec, fork or sighting
	Ended     time.Time
	ExitCode  int32
	Told      bool // that it ended
	Depth     int  // in a tree, from 0
	Asked     bool // it is the one that was asked for
}

// LifeID names a life among all of its host: PID-START, start in ns since boot.
func LifeID(pid uint32, startNs uint64) string {
	return strconv.FormatUint(uint64(pid), 10) + "-" + strconv.FormatUint(startNs, 10)
}

// ID names the life.
func (l *Life) ID() string { return LifeID(l.PID, l.StartNs) }

func parseLifeID(id string) (pid, start uint64, err error) {
	p, s, _ := strings.Cut(id, "-")
	if pid, err = strconv.ParseUint(p, 10, 31); err == nil {
		start, err = strconv.ParseUint(s, 10, 63)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("%w: process %q; want PID-START, such as 4711-93847561029384", ErrInput, id)
	}
	return pid, start, nil
}

// ProcessQuery chooses started programs; a zero field does not narrow.
type ProcessQuery struct {
	Text         string // in program or arguments, case apart
	Since, Until time.Time
	Before       string // the place behind which the page begins, see Programs
	Limit        int    // default 100, at most 1000
}

// Programs lists what was started on a host, the newest first, with the place of the next
// page; empty when this was the last.
func (b *Brain) Programs(ctx context.Context, tenant, host string, q ProcessQuery) (out []Life, next string, err error) {
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	where := "host = " + quoted(host) + " AND kind IN ('process.exec', 'process.snapshot')"
	if q.Text != "" {
		t := quoted(strings.ToLower(q.Text))
		where += fmt.Sprintf(" AND (contains(lower(coalesce(argv, '')), %[1]s) OR contains(lower(coalesce(exe, '')), %[1]s))", t)
	}
	if !q.Since.IsZero() {
		where += fmt.Sprintf(" AND time_ns >= %d", q.Since.UnixNano())
	}
	if !q.Until.IsZero() {
		where += fmt.Sprintf(" AND time_ns <= %d", q.Until.UnixNano())
	}
	if q.Before != "" {
		var at [3]int64
		for i, part := range strings.SplitN(q.Before, ".", 3) {
			if at[i], err = strconv.ParseInt(part, 10, 64); err != nil {
				return nil, "", fmt.Errorf("%w: %q is no cursor of this list", ErrInput, q.Before)
			}
		}
		where += fmt.Sprintf(" AND (time_ns, epoch, seq) < (%d, %d, %d)", at[0], at[1], at[2])
	}
	found, _, err := b.events(ctx, tenant, fmt.Sprintf("SELECT event FROM raw WHERE %s ORDER BY time_ns DESC, epoch DESC, seq DESC LIMIT %d", where, limit+1))
	if err != nil {
		return nil, "", fmt.Errorf("programs of %s: %w", host, err)
	}
	if len(found) > limit {
		last := found[limit-1]
		next = fmt.Sprintf("%d.%d.%d", last.WallNs, last.Epoch, last.Seq)
		found = found[:limit]
	}
	for _, ev := range found {
		l := Life{}
		l.take(ev)
		out = append(out, l)
	}
	return out, next, nil
}

// treeDeep bounds how far a tree goes up and down from the process asked for.
const treeDeep = 32

// ProcessTree is a process with its ancestors and all that came of it, parents before
// their children, in the order of their start. cut tells that there is more.
func (b *Brain) ProcessTree(ctx context.Context, tenant, host, id string) (out []Life, cut bool, err error) {
	pid, start, err := parseLifeID(id)
	if err != nil {
		return nil, false, err
	}
	// A fork names parent and child; an exec the parent of then, which may be the one that
	// took an orphan.
	sql := fmt.Sprintf(`WITH RECURSIVE p AS (SELECT kind, pid, start_ns, ppid, parent_start_ns, target_pid, target_start_ns FROM events WHERE host = %[1]s AND class_uid = 1007 AND kind IN ('process.fork', 'process.exec', 'process.snapshot')),
link AS (SELECT pid AS a, start_ns AS s, target_pid AS c, target_start_ns AS t FROM p WHERE kind = 'process.fork' AND target_pid IS NOT NULL
 UNION SELECT ppid, parent_start_ns, pid, start_ns FROM p WHERE kind <> 'process.fork' AND ppid > 0),
up AS (SELECT %[2]d::INTEGER AS pid, %[3]d::BIGINT AS start, 0 AS n UNION SELECT a, s, n + 1 FROM up JOIN link ON c = pid AND t = start WHERE n < %[4]d),
down AS (SELECT %[2]d::INTEGER AS pid, %[3]d::BIGINT AS start, 0 AS n UNION SELECT c, t, n + 1 FROM down JOIN link ON a = pid AND s = start WHERE n < %[4]d),
lives AS (SELECT pid, start FROM up UNION SELECT pid, start FROM down)
SELECT event FROM raw WHERE host = %[1]s AND class_uid = 1007 AND ((pid, start_ns) IN (FROM lives) AND kind IN ('process.exec', 'process.exit', 'process.snapshot') OR (target_pid, target_start_ns) IN (FROM lives) AND kind = 'process.fork') ORDER BY time_ns, epoch, seq`,
		quoted(host), pid, start, treeDeep)
	found, cut, err := b.events(ctx, tenant, sql)
	if err != nil {
		return nil, false, fmt.Errorf("process tree of %s on %s: %w", id, host, err)
	}
	lives := map[string]*Life{}
	for _, ev := range found {
		who := ev.Actor
		if ev.GetProcess().GetOp() == event.ProcessActivity_FORK {
			who = ev.GetProcess().GetTarget()
		}
		k := LifeID(who.GetPid(), who.GetStartNs())
		l := lives[k]
		if l == nil {
			l = &Life{}
			lives[k] = l
		}
		l.take(ev)
	}
	asked := lives[id]
	if asked == nil {
		return nil, false, fmt.Errorf("process %s of host %s: %w; the archive may have dropped it", id, host, ErrNotFound)
	}
	asked.Asked = true
	return grown(lives), cut, nil
}

// take adds what one event says of the life.
func (l *Life) take(ev *event.Event) {
	p := ev.GetProcess()
	at := ev.Wall().UTC()
	if p.GetOp() == event.ProcessActivity_EXIT {
		l.Ended, l.ExitCode, l.Told = at, p.ExitCode, true
		if l.PID == 0 {
			l.is(ev.Actor)
		}
		return
	}
	if l.Started.IsZero() {
		l.Started = at
	}
	if p.GetOp() == event.ProcessActivity_FORK {
		l.Parent = LifeID(ev.Actor.GetPid(), ev.Actor.GetStartNs())
		if l.PID == 0 {
			l.is(p.Target)
		}
		if l.Comm == "" {
			l.Comm, l.Exe, l.UID = ev.Actor.GetComm(), ev.Actor.GetExe(), ev.Actor.GetUid() // until it executes something else
		}
		return
	}
	l.is(ev.Actor)
	l.Argv, l.Cwd, l.TTY = p.GetArgv(), p.GetCwd(), cmp.Or(p.GetTty(), l.TTY)
	if q := p.GetParent(); l.Parent == "" && q.GetPid() != 0 {
		l.Parent = LifeID(q.Pid, q.StartNs)
	}
}

// is takes over what names the process.
func (l *Life) is(p *entity.Process) {
	l.PID, l.StartNs, l.Comm, l.Exe, l.UID, l.Container = p.GetPid(), p.GetStartNs(), p.GetComm(), p.GetExe(), p.GetUid(), p.GetContainer()
}

// grown orders lives into a tree.
func grown(lives map[string]*Life) []Life {
	kids := map[string][]*Life{}
	var roots []*Life
	for _, l := range lives {
		if l.Parent != "" && lives[l.Parent] != nil && l.Parent != l.ID() {
			kids[l.Parent] = append(kids[l.Parent], l)
		} else {
			roots = append(roots, l)
		}
	}
	order := func(a, b *Life) int { return cmp.Or(cmp.Compare(a.StartNs, b.StartNs), cmp.Compare(a.PID, b.PID)) }
	out := make([]Life, 0, len(lives))
	var add func(l *Life, depth int)
	add = func(l *Life, depth int) {
		l.Depth = depth
		out = append(out, *l)
		under := kids[l.ID()]
		slices.SortFunc(under, order)
		for _, k := range under {
			add(k, depth+1)
		}
	}
	slices.SortFunc(roots, order)
	for _, l := range roots {
		add(l, 0)
	}
	return out
}
