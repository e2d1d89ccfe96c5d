// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/verdict"
)

var now = time.Unix(1_700_000_000, 0)

func incident(id string, hosts ...string) *verdict.Incident {
	fl := entity.NewFlow(netip.MustParseAddrPort("203.0.113.9:41001"), netip.MustParseAddrPort("10.0.0.2:80"), 6)
	return &verdict.Incident{Id: id, Score: 0.99, Hosts: hosts, Entry: &entity.Sighting{Kind: entity.Kind_REQUEST, Request: &entity.Request{Flow: fl, Method: "POST", Uri: "/u"}}}
}

func finding(host string, subjects ...*entity.Sighting) *verdict.Finding {
	return &verdict.Finding{Id: "f", Host: host, Layer: "behaviour", Stage: "sigma", Rule: "r", Colour: verdict.Colour_BLACK, Subjects: subjects}
}

func process(exe, role string, pid uint32) *entity.Sighting {
	return &entity.Sighting{Kind: entity.Kind_PROCESS, Role: role, Process: &entity.Process{Pid: pid, StartNs: 5, Exe: exe}}
}

func kinds(orders []action.Order) string {
	out := ""
	for _, o := range orders {
		out += fmt.Sprintf("%s@%s ", o.Kind, o.Host)
	}
	return out
}

func TestOrdersFollowTheSequenceAndComeOnce(t *testing.T) {
	d := New(Policy{})
	f := finding("web", process("/bin/sh", "actor", 7))
	if got := kinds(d.Decide(incident("i1", "web"), f, now)); got != "block_address@web cut_connection@web kill_tree@web " {
		t.Errorf("got %s", got)
	}
	if got := d.Decide(incident("i1", "web"), f, now); len(got) != 0 {
		t.Errorf("ordered again: %v", kinds(got))
	}
	f.Subjects[0].Process.Exe = "/bin/bash" // the same life after an exec
	if got := d.Decide(incident("i1", "web"), f, now); len(got) != 0 {
		t.Errorf("one life is killed once: %v", kinds(got))
	}
	merged := incident("i0", "web")
	merged.Aliases = []string{"i1"}
	if got := d.Decide(merged, f, now); len(got) != 0 {
		t.Errorf("ordered again after a merge: %v", kinds(got))
	}
}

func TestWhatIsNeverOrdered(t *testing.T) {
	worker := finding("web", process("/usr/sbin/php-fpm", "worker", 7))
	if got := kinds(New(Policy{Kinds: []action.Kind{action.KillTree}}).Decide(incident("i", "web"), worker, now)); got != "" {
		t.Errorf("a worker is not to be killed: %s", got)
	}
	allow := Policy{Allow: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}
	if got := kinds(New(allow).Decide(incident("i", "web"), finding("web"), now)); got != "" {
		t.Errorf("an allowed address is not to be blocked: %s", got)
	}
	grey := finding("web", process("/bin/sh", "actor", 7))
	grey.Colour = verdict.Colour_GREY
	if got := kinds(New(Policy{}).Decide(incident("i", "web"), grey, now)); got != "" {
		t.Errorf("grey orders nothing: %s", got)
	}
	unsure := incident("i", "web")
	for score, want := range map[float64]string{0.5: "", 0.94: "", 0.96: "block_address@web cut_connection@web "} {
		unsure.Score = score
		if got := kinds(New(Policy{}).Decide(unsure, finding("web"), now)); got != want {
			t.Errorf("at %v: %q, want %q", score, got, want)
		}
	}
}

// TestReach: one incident touches so many hosts and peers and no more, however many
// processes it has on them.
func TestReach(t *testing.T) {
	d := New(Policy{Reach: 3})
	inc := incident("i", "web")
	touched := map[string]bool{}
	for i := range 20 {
		f := finding(fmt.Sprint("host", i%10), process("/bin/sh", "actor", uint32(i)))
		for _, o := range d.Decide(inc, f, now) {
			touched[o.Host] = true
		}
	}
	if len(touched) != 2 || !touched["web"] { // web and its peer make two, one more host is three
		t.Errorf("touched %v", touched)
	}
}

func TestExceptionScopes(t *testing.T) {
	file := func(p string) *entity.Sighting {
		return &entity.Sighting{Kind: entity.Kind_FILE, Role: "object", File: &entity.File{Path: p}}
	}
	from := func(a string) *entity.Sighting {
		return &entity.Sighting{Kind: entity.Kind_ADDRESS, Role: "source", Text: a}
	}
	sh := process("/bin/sh", "actor", 7)
	cases := []struct {
		name  string
		scope Scope
		f     *verdict.Finding
		want  bool
	}{
		{"rule", Scope{Rule: "r"}, finding("web", sh), true},
		{"another rule", Scope{Rule: "q"}, finding("web", sh), false},
		{"host", Scope{Rule: "r", Host: "web"}, finding("web", sh), true},
		{"another host", Scope{Rule: "r", Host: "data"}, finding("web", sh), false},
		{"layer", Scope{Stage: "sigma", Layer: "file"}, finding("web", sh), false},
		{"program", Scope{Rule: "r", Exe: "/bin/*"}, finding("web", sh), true},
		{"a program that was only acted upon", Scope{Rule: "r", Exe: "/srv/app"}, finding("web", sh, process("/srv/app", "object", 8)), false},
		{"unknown program", Scope{Rule: "r", Exe: "/bin/*"}, finding("web"), false},
		{"file", Scope{Rule: "r", Path: "/etc/cron.d/*"}, finding("web", sh, file("/etc/cron.d/a")), true},
		{"a star is no path", Scope{Rule: "r", Path: "/etc/*"}, finding("web", sh, file("/etc/cron.d/a")), false},
		{"one of two files", Scope{Rule: "r", Path: "/etc/cron.d/*"}, finding("web", file("/etc/cron.d/a"), file("/etc/shadow")), false},
		{"unknown file", Scope{Rule: "r", Path: "/etc/cron.d/*"}, finding("web", sh), false},
		{"source", Scope{Rule: "r", Source: "192.0.2.0/24"}, finding("web", sh, from("192.0.2.5")), true},
		{"another source", Scope{Rule: "r", Source: "192.0.2.0/24"}, finding("web", sh, from("203.0.113.9")), false},
		{"one of two sources", Scope{Rule: "r", Source: "192.0.2.0/24"}, finding("web", from("192.0.2.5"), from("203.0.113.9")), false},
		{"unknown source", Scope{Rule: "r", Source: "192.0.2.0/24"}, finding("web", sh), false},
	}
	for _, c := range cases {
		e := &Exception{ID: c.name, Scope: c.scope, Reason: "test", Owner: "ops", Expires: now.Add(time.Hour)}
		x, err := NewExceptions([]*Exception{e})
		if err != nil {
			t.Fatal(err)
		}
		got := x.Match(c.f, now)
		if (got != nil) != c.want {
			t.Errorf("%s: hidden %v, want %v", c.name, got != nil, c.want)
		}
		if got != nil {
			x.Hit(got)
			x.GiveBack(x.TakeHits())
			if n := x.TakeHits(); e.Hits != 1 || n[c.name] != 1 || len(x.TakeHits()) != 0 {
				t.Errorf("%s: hits %d, taken %v", c.name, e.Hits, n)
			}
		}
		if x.Match(c.f, now.Add(2*time.Hour)) != nil {
			t.Errorf("%s: an expired exception hides", c.name)
		}
	}
}

func TestExceptionNeedsAScope(t *testing.T) {
	for name, e := range map[string]*Exception{
		"no scope":  {Reason: "r", Owner: "o", Expires: now},
		"no reason": {Scope: Scope{Rule: "r"}, Owner: "o", Expires: now},
		"no end":    {Scope: Scope{Rule: "r"}, Reason: "r", Owner: "o"},
		"no prefix": {Scope: Scope{Rule: "r", Source: "10.0.0"}, Reason: "r", Owner: "o", Expires: now},
	} {
		if _, err := NewExceptions([]*Exception{e}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestWhatWasNotEnoughIsDoneWhenItIs(t *testing.T) {
	d := New(Policy{})
	page := finding("web", &entity.Sighting{Kind: entity.Kind_FILE, Role: "object", File: &entity.File{Path: "/var/www/x.php"}})
	page.Id, page.Layer = "f0", "file"
	young := incident("i1", "web")
	young.Score = 0.9
	if got := d.Decide(young, page, now); len(got) != 0 {
		t.Errorf("ordered below the score: %v", kinds(got))
	}
	grown := incident("i0", "web")
	grown.Aliases = []string{"i1"}
	if got := kinds(d.Decide(grown, finding("web", process("/bin/sh", "actor", 7)), now)); got != "block_address@web cut_connection@web kill_tree@web quarantine_file@web " {
		t.Errorf("got %s", got)
	}
	if got := d.Decide(incident("i2", "web"), finding("web"), now); slices.ContainsFunc(got, func(o action.Order) bool { return o.Kind == action.QuarantineFile }) {
		t.Errorf("another incident does what waited for the first: %v", kinds(got))
	}
	for i := range 3 * waitingAll {
		other := incident(fmt.Sprint("x", i), "web")
		other.Score = 0.5
		d.Decide(other, page, now)
	}
	if len(d.waiting) > waitingAll {
		t.Errorf("%d incidents wait", len(d.waiting))
	}
}
