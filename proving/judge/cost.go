// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// watcher is one side of the comparison while it runs.
type watcher interface {
	cpu() time.Duration                         // of its daemon, kernel threads of its own included
	count(token string) (map[string]int, error) // facts delivered since its start, by kind
	end()
}

// mode is one side.
type mode struct {
	name  string
	note  string
	all   bool // every open is wanted too
	start func(ctx context.Context, c *costing) (watcher, error)
}

var modes = []mode{
	{"none", "nobody watches", false, nil},
	{"Ringwall", "`ringwall-agent run`, kernel sensor alone; its other facts (fork, exit, accept, close) come along", false, ringwallSide(false)},
	{"auditd, waits", "backlog 8192, backlog_wait_time 60000 as Debian sets it", false, auditSide(60000, false)},
	{"auditd, loses", "backlog 8192, backlog_wait_time 0", false, auditSide(0, false)},
	{"Ringwall, all opens", "the folder of the reads is listed, so each open of it is told", true, ringwallSide(true)},
	{"auditd, all opens", "waits; each open of that folder is told", true, auditSide(60000, true)},
}

// deed is a kind of operation; each but plain is a fact that both sides are asked for.
type deed struct {
	kind, name string
	per        int // by one worker: below the agent's cap of 2,000 bulk facts a process and second
	workers    int
	all        bool // a fact only where every open is wanted
}

var wanted = []deed{
	{"exec", "fork+exec+exit", 400, 20, false},
	{"steady", "fork+exec+exit, 100 a second", 300, 4, false},
	{"write", "open for writing", 1500, 20, false},
	{"read", "listed sensitive read", 1500, 20, false},
	{"connect", "connect", 1000, 10, false},
	{"plain", "open for reading, not wanted", 20000, 3, false},
	{"any", "open for reading, wanted in all-opens", 1500, 20, true},
}

// costing is one run of the measure.
type costing struct {
	j     *judge
	where *place
	p     *product
}

// spent is CPU per deed.
type spent struct {
	Workload, Daemon, Brain float64 // ns
	Done, Told              int
}

// round is what one side spent in one round, by kind of deed.
type round map[string]spent

func cost(ctx context.Context, j *judge, r *Record) error {
	if os.Geteuid() != 0 {
		r.Skipped = "needs root: the kernel sensor and the audit system"
		return nil
	}
	if _, err := exec.LookPath("auditd"); err != nil {
		r.Skipped = "auditd is not installed; mend: scripts/need judge"
		return nil
	}
	restore, err := keepAudit()
	if err != nil {
		r.Skipped = err.Error()
		return nil
	}
	defer restore()
	where, drop, err := newPlace("cost")
	if err != nil {
		return err
	}
	defer drop()
	c := &costing{j: j, where: where}
	if c.p, err = j.newProduct(ctx, where.dir); err != nil {
		return err
	}
	defer c.p.end()
	all := map[string][]round{}
	for i := range j.pick(5, 1) {
		got, err := kept(j, fmt.Sprintf("cost-round%d", i+1), func() (map[string]round, error) { return c.sides(ctx, i) })
		if err != nil {
			return fmt.Errorf("round %d: %w", i+1, err)
		}
		for name, v := range got {
			all[name] = append(all[name], v)
		}
	}
	r.costTables(all)
	return nil
}

// sides is one round: every side in turn.
func (c *costing) sides(ctx context.Context, i int) (map[string]round, error) {
	out := map[string]round{}
	for _, m := range modes {
		if c.j.short && (m.all || m.name == "auditd, loses") {
			continue
		}
		fmt.Printf("round %d: %s\n", i+1, m.name)
		got, err := c.round(ctx, m, fmt.Sprintf("r%d%s", i, strings.Map(letters, m.name)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		out[m.name] = got
	}
	return out, nil
}

func letters(c rune) rune {
	if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
		return c
	}
	return -1
}

// round has one side watch while every kind of deed is done.
func (c *costing) round(ctx context.Context, m mode, token string) (round, error) {
	if err := quietAudit(); err != nil {
		return nil, err
	}
	var w watcher
	if m.start != nil {
		var err error
		if w, err = m.start(ctx, c); err != nil {
			return nil, err
		}
		defer w.end()
	}
	own := func() time.Duration {
		if w == nil {
			return 0
		}
		return w.cpu()
	}
	rest := c.rest(own)
	out := round{}
	for _, d := range wanted {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s, err := c.spend(d, own, rest, token)
		if err != nil {
			return nil, err
		}
		out[d.kind] = s
	}
	if w == nil {
		return out, nil
	}
	told, err := w.count(token)
	if err != nil {
		return nil, err
	}
	for kind, s := range out {
		s.Told = told[kind]
		out[kind] = s
	}
	return out, nil
}

// resting is CPU per second of daemon and brain when nothing is done.
type resting struct{ daemon, brain float64 }

func (c *costing) rest(own func() time.Duration) resting {
	brain := c.p.brain.cmd.Process.Pid
	o, b, from := own(), cpu(brain), time.Now()
	time.Sleep(time.Duration(c.j.pick(3000, 1000)) * time.Millisecond)
	took := time.Since(from).Seconds()
	return resting{float64(own()-o) / took, float64(cpu(brain)-b) / took}
}

// spend does one kind of deed and waits until the daemon has come to rest again.
func (c *costing) spend(d deed, own func() time.Duration, rest resting, token string) (s spent, err error) {
	brain := c.p.brain.cmd.Process.Pid
	o, b, from := own(), cpu(brain), time.Now()
	var work time.Duration
	workers := d.workers
	if c.j.short {
		workers = max(1, workers/4)
	}
	for range workers {
		took, err := c.where.do(d.kind, d.per, token)
		if err != nil {
			return s, err
		}
		work += took
		s.Done += d.per
	}
	c.settle(own, rest)
	took, n := time.Since(from).Seconds(), float64(s.Done)
	s.Workload = float64(work) / n
	s.Daemon = (float64(own()-o) - rest.daemon*took) / n
	s.Brain = (float64(cpu(brain)-b) - rest.brain*took) / n
	return s, nil
}

// settle waits until the daemon uses hardly more than at rest: what it put off is charged too.
func (c *costing) settle(own func() time.Duration, rest resting) {
	const step = 400 * time.Millisecond
	for end, last := time.Now().Add(60*time.Second), own(); time.Now().Before(end); {
		time.Sleep(step)
		now := own()
		if float64(now-last) < 1.5*rest.daemon*step.Seconds()+2e6 {
			return
		}
		last = now
	}
}

// ringwallSide starts an agent with the kernel sensor alone, scoped to the workers' cgroup.
func ringwallSide(all bool) func(context.Context, *costing) (watcher, error) {
	return func(ctx context.Context, c *costing) (watcher, error) {
		listed := fmt.Sprintf("%q", c.where.dir+"/"+secretFile)
		if all {
			listed += fmt.Sprintf(", %q", c.where.dir+"/"+anyFolder+"/*")
		}
		settings := "scope: {cgroup: " + c.where.cgroup + "}\nsensors: {packet: off, files: off, inventory: off, logs: off}\nkernel: {sensitive: [" + listed + "]}\n"
		return &ringwallWatch{ctx, c, time.Now()}, c.p.join(ctx, settings)
	}
}

type ringwallWatch struct {
	ctx   context.Context
	c     *costing
	began time.Time
}

func (w *ringwallWatch) cpu() time.Duration { return cpu(w.c.p.agent.cmd.Process.Pid) }
func (w *ringwallWatch) end()               { w.c.p.leave() }

// count asks the archive, where a fact is delivered for good.
func (w *ringwallWatch) count(token string) (map[string]int, error) {
	dir := w.c.where.dir
	sql := fmt.Sprintf(`select case when kind = 'process.exec' and argv like '%s/%s %s %%' then 'exec'
		when kind = 'process.exec' and argv like '%s/%s %s %%' then 'steady'
		when kind = 'file.open_write' and path = '%s/written/a' then 'write'
		when kind = 'file.read' and path = '%s/%s' then 'read'
		when kind = 'file.read' and path like '%s/%s/%%' then 'any'
		when kind = 'network.connect' and dst_port = %d then 'connect' end as what, count(*)
		from events where time_ns > %d group by 1`, dir, nothing, token, dir, steadily, token, dir, dir, secretFile, dir, anyFolder, w.c.where.port, w.began.UnixNano())
	out := map[string]int{}
	for total, tries := -1, 0; tries < 30; tries++ { // until two counts agree
		rows, err := w.c.p.hunt(w.ctx, sql)
		if err != nil {
			return nil, err
		}
		sum := 0
		for _, row := range rows {
			if kind, ok := row[0].(string); ok {
				n, _ := row[1].(float64)
				out[kind] = int(n)
				sum += int(n)
			}
		}
		if sum == total {
			break
		}
		total = sum
		time.Sleep(3 * time.Second)
	}
	return out, nil
}

// auditSide starts auditd with the wanted rules.
func auditSide(wait int, all bool) func(context.Context, *costing) (watcher, error) {
	return func(ctx context.Context, c *costing) (watcher, error) {
		a, err := startAudit(ctx, filepath.Join(c.where.dir, "auditd"), c.where, wait, all)
		return &auditWatch{a}, err
	}
}

type auditWatch struct{ *auditing }

func (w *auditWatch) count(string) (map[string]int, error) {
	told, lost, err := w.facts()
	told["lost"] = lost
	return told, err
}
