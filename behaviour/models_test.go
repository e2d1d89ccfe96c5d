// SPDX-License-Identifier: Apache-2.0

package behaviour_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/graph"
)

// model is how a server of one kind handles a request that starts a program.
type model struct {
	name string
	exe  string
	// read and spawn give the process, thread and goroutine for client c's request i.
	read, spawn func(rng *rand.Rand, c, i int) string
	atOnce      bool // the program is started before anything else is read
	late        bool // it is answered before the work is done
	fcgi        bool
	words       bool // each request carries a word that its program is given
	sure        bool // every one must be right, and not by a guess
}

const perRun, atATime = 36, 6

var models = []model{
	{name: "FastCGI", exe: "/usr/sbin/php-fpm8.2", read: one("%d", 40), spawn: one("%d", 40), fcgi: true, sure: true},
	{name: "Apache prefork", exe: "/usr/sbin/apache2", read: one("%d", 40), spawn: one("%d", 40), sure: true},
	{name: "gunicorn threads", exe: "/usr/bin/python3", read: one("80/%d", 81), spawn: one("80/%d", 81), sure: true},
	{name: "Java pool", exe: "/usr/bin/java", read: one("80/%d", 81), spawn: one("80/%d", 81), sure: true},
	{name: "Node, at once", exe: "/usr/bin/node", read: one("90", 0), spawn: one("90", 0), atOnce: true},
	{name: "Node, after an await", exe: "/usr/bin/node", read: one("90", 0), spawn: one("90", 0)},
	{name: "Node, await, own words", exe: "/usr/bin/node", read: one("90", 0), spawn: one("90", 0), words: true},
	{name: "Node, answers first", exe: "/usr/bin/node", read: one("90", 0), spawn: one("90", 0), late: true},
	{name: "asyncio, after an await", exe: "/usr/bin/python3", read: one("90", 0), spawn: one("90", 0)},
	{name: "Go", exe: "/srv/app", sure: true,
		read:  func(rng *rand.Rand, c, i int) string { return fmt.Sprintf("70/%d@%d", 71+rng.IntN(4), 1000+i) },
		spawn: func(rng *rand.Rand, c, i int) string { return fmt.Sprintf("70/%d@%d", 71+rng.IntN(4), 1000+i) }},
	{name: "Go, own goroutines", exe: "/srv/app",
		read:  func(rng *rand.Rand, c, i int) string { return fmt.Sprintf("70/%d@%d", 71+rng.IntN(4), 1000+i) },
		spawn: func(rng *rand.Rand, c, i int) string { return fmt.Sprintf("70/%d@%d", 71+rng.IntN(4), 5000+i) }},
}

func one(format string, base int) func(*rand.Rand, int, int) string {
	return func(_ *rand.Rand, c, _ int) string {
		if !strings.Contains(format, "%d") {
			return format
		}
		return fmt.Sprintf(format, base+c)
	}
}

// TestThreadModels plays range.md's table: 36 requests, 6 at once, a random pause
// between the read and the start of a program. A sure answer must be right, and so
// must a guess be: better unknown than wrong.
func TestThreadModels(t *testing.T) {
	rules := ownRules(t)
	t.Logf("%-26s right  guessed  unknown  wrong  of %d", "", 13*perRun)
	for _, m := range models {
		var right, guessed, unknown, wrong int
		for seed := range uint64(13) {
			p, truth := m.play(t, rand.New(rand.NewPCG(seed, 3)))
			h := newHeart(t, rules, graph.Config{}, nil)
			for _, ev := range p.events {
				h.see(ev)
			}
			for pid, client := range truth {
				id := h.g.Resolve(&entity.Sighting{Kind: entity.Kind_PROCESS, Process: &entity.Process{Pid: pid}}, "web", 0)
				path := trace.Back(h.g, id, 0)
				fl := trace.EntryClient(h.g, path.Entry)
				switch {
				case path.Entry == 0:
					unknown++
				case fl.Src().String() != client:
					wrong++
					t.Errorf("%s, seed %d: pid %d came from %s by %s, not from %s", m.name, seed, pid, client, path.Rule, fl.Src())
				case path.Guess:
					guessed++
				default:
					right++
				}
			}
		}
		t.Logf("%-26s %5d  %7d  %7d  %5d", m.name, right, guessed, unknown, wrong)
		if m.sure && right != 13*perRun {
			t.Errorf("%s: %d of %d right", m.name, right, 13*perRun)
		}
	}
}

func (m *model) play(t *testing.T, rng *rand.Rand) (*play, map[uint32]string) {
	type step struct {
		at   float64
		line string
	}
	var steps []step
	truth := map[uint32]string{}
	add := func(at float64, format string, args ...any) {
		steps = append(steps, step{at, fmt.Sprintf("web %.6f ", at) + fmt.Sprintf(format, args...)})
	}
	for _, pid := range []int{40, 41, 42, 43, 44, 45, 70, 80, 90} {
		add(1, "snapshot %d %s uid=33", pid, m.exe)
	}
	for c := range atATime {
		now := 2 + rng.Float64()*0.01
		for i := c; i < perRun; i += atATime {
			client, pid := fmt.Sprintf("198.51.100.%d:%d", 1+c, 2000+i), 300+i
			flow, uri, word := client+">10.0.0.2:80", "/run?n=x", "nothing"
			if m.words {
				word = fmt.Sprintf("word%04d", 7*i)
				uri = "/run?n=" + word
			}
			if m.fcgi {
				add(now, "fcgi %s GET %s %s script=/var/www/run.php", m.read(rng, c, i), uri, flow)
			} else {
				add(now, "read %s GET %s %s", m.read(rng, c, i), uri, flow)
			}
			spawn := now + 0.0002 + rng.Float64()*0.02
			if m.atOnce {
				spawn = now + 0.000001
			}
			answer := spawn + 0.002 + rng.Float64()*0.003
			if m.late {
				answer = now + 0.0001
			}
			add(spawn, "run %s %d /bin/dash -- sh -c 'sleep 0 %s'", m.spawn(rng, c, i), pid, word)
			add(answer, "answer %s 200 GET %s %s", strings.Split(m.read(rng, c, i), "@")[0], uri, flow)
			truth[uint32(pid)] = client
			now = max(answer, spawn) + rng.Float64()*0.004
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	var text strings.Builder
	for _, s := range steps {
		text.WriteString(s.line + "\n")
	}
	p, err := parsePlay(text.String())
	if err != nil {
		t.Fatal(err)
	}
	return p, truth
}
