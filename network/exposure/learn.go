// SPDX-License-Identifier: Apache-2.0

package exposure

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

// LearnConfig says how long a host is only watched.
type LearnConfig struct {
	Learn time.Duration `yaml:"learn"` // default 24 h; until then nothing is told of the host
	Most  int           `yaml:"most"`  // entries kept per host; default 8192
}

// Entry is one thing that a host does: who talks to which of its ports, or to which
// network it talks.
type Entry struct {
	Host     string       `json:"host"`
	Inbound  bool         `json:"inbound"`
	Proto    uint32       `json:"proto"`
	Port     uint32       `json:"port"`
	Peer     netip.Prefix `json:"peer"` // /24 or /64; 0.0.0.0/0 inbound from public addresses
	Count    uint64       `json:"count"`
	Days     int          `json:"days"` // different days it was seen on
	First    time.Time    `json:"first"`
	Last     time.Time    `json:"last"`
	Learned  bool         `json:"learned"`  // seen while the host was only watched
	Sureness float64      `json:"sureness"` // lower Wilson bound of the share of days it was seen on
}

type entryKey struct {
	host    string
	inbound bool
	proto   uint32
	port    uint32
	peer    netip.Prefix
}

// Learner learns what each host does and tells of what is outside. It belongs to one
// goroutine and decides by the time of events.
type Learner struct {
	cfg   LearnConfig
	hosts map[string]time.Time // first event
	seen  map[entryKey]*Entry
	count map[string]int
}

// NewLearner makes a learner that knows nothing.
func NewLearner(cfg LearnConfig) *Learner {
	cfg.Learn, cfg.Most = cmp.Or(cfg.Learn, 24*time.Hour), cmp.Or(cfg.Most, 8192)
	return &Learner{cfg: cfg, hosts: map[string]time.Time{}, seen: map[entryKey]*Entry{}, count: map[string]int{}}
}

// See learns from one connection, and gives a grey finding when a host that is known
// does what it never did. A new thing is told once; it is in the policy from then on,
// marked as not learned.
func (l *Learner) See(ev *event.Event) *verdict.Finding {
	f, _ := l.see(ev)
	return f
}

// see also tells whether the event is a connection that the host is known to have.
func (l *Learner) see(ev *event.Event) (f *verdict.Finding, known bool) {
	n := ev.GetNetwork()
	var inbound bool
	switch n.GetOp() {
	case event.NetworkActivity_ACCEPT:
		inbound = true
	case event.NetworkActivity_CONNECT:
		if n.Failed {
			return nil, false
		}
	default:
		return nil, false
	}
	peer, port := n.Flow.Dst().Addr(), n.Flow.GetDstPort()
	if inbound {
		peer = n.Flow.Src().Addr()
	}
	if !peer.IsValid() || peer.IsLoopback() {
		return nil, false
	}
	at := ev.Wall()
	k := entryKey{ev.Host, inbound, n.Flow.GetProto(), port, network(peer, inbound)}
	first, met := l.hosts[ev.Host]
	if !met {
		first = at
		l.hosts[ev.Host] = at
	}
	e := l.seen[k]
	if e != nil {
		e.touch(at)
		return nil, true
	}
	if l.count[ev.Host] >= l.cfg.Most {
		return nil, false // a host that does everything has no policy to be outside of
	}
	learning := at.Sub(first) < l.cfg.Learn
	l.count[ev.Host]++
	l.seen[k] = &Entry{Host: k.host, Inbound: inbound, Proto: k.proto, Port: port, Peer: k.peer, Count: 1, Days: 1, First: at, Last: at, Learned: learning}
	if learning {
		return nil, false
	}
	return outside(ev, l.seen[k]), false
}

func (e *Entry) touch(at time.Time) {
	if at.UTC().YearDay() != e.Last.UTC().YearDay() || at.Sub(e.Last) > 24*time.Hour {
		e.Days++
	}
	e.Count++
	e.Last = at
}

// network widens a peer: whole public space towards us, since strangers come from
// everywhere; its /24 or /64 otherwise.
func network(a netip.Addr, inbound bool) netip.Prefix {
	a = a.Unmap()
	bits := 24
	if a.Is6() {
		bits = 64
	}
	if inbound && a.IsGlobalUnicast() && !a.IsPrivate() {
		bits = 0
	}
	p, _ := a.Prefix(bits)
	return p
}

func outside(ev *event.Event, e *Entry) *verdict.Finding {
	what, technique := fmt.Sprintf("first connection to %s port %d", e.Peer, e.Port), "T1071"
	if e.Inbound {
		what, technique = fmt.Sprintf("first connection from %s to port %d", e.Peer, e.Port), "T1133"
	}
	fl := ev.GetNetwork().GetFlow()
	f := &verdict.Finding{
		Host: ev.Host, WallNs: ev.WallNs, Layer: "network", Stage: "exposure", Rule: "outside-learned", Title: "Connection outside what this host has learned",
		Colour: verdict.Colour_GREY, Score: 0.2, Techniques: []string{technique}, Events: []*verdict.EventID{ev.ID()},
		Subjects: []*entity.Sighting{{Kind: entity.Kind_FLOW, Role: "object", Host: ev.Host, WallNs: ev.WallNs, Flow: fl}},
		Evidence: []*verdict.Evidence{{What: what, Where: fmt.Sprintf("%s → %s", fl.Src(), fl.Dst()), Weight: 1, Engine: "exposure", Root: ev.ID().Text()}},
	}
	f.SetID()
	return f
}

// Policy lists what was learned of a host ("" for all), surest first, as of now.
func (l *Learner) Policy(host string, now time.Time) []Entry {
	var out []Entry
	for k, e := range l.seen {
		if host != "" && k.host != host {
			continue
		}
		c := *e
		days := int(now.Sub(l.hosts[k.host])/(24*time.Hour)) + 1
		c.Sureness = wilson(min(c.Days, days), days)
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), -cmp.Compare(a.Sureness, b.Sureness), -cmp.Compare(a.Count, b.Count), cmp.Compare(a.Port, b.Port), a.Peer.Addr().Compare(b.Peer.Addr()))
	})
	return out
}

// Hosts gives the first event of every host, and how long each is only watched.
func (l *Learner) Hosts() (first map[string]time.Time, learn time.Duration) {
	return maps.Clone(l.hosts), l.cfg.Learn
}

// wilson is the lower bound of the 95 % interval of k of n (Wilson 1927).
func wilson(k, n int) float64 {
	if n == 0 {
		return 0
	}
	const z = 1.96
	p, m := float64(k)/float64(n), float64(n)
	centre := p + z*z/(2*m)
	half := z * math.Sqrt((p*(1-p)+z*z/(4*m))/m)
	return max(0, (centre-half)/(1+z*z/m))
}

// snapshot is the learned state as it lies on disk.
type snapshot struct {
	Hosts   map[string]time.Time `json:"hosts"`
	Entries []*Entry             `json:"entries"`
}

// Save writes what was learned, whole or not at all.
func (l *Learner) Save(path string) error {
	s := snapshot{Hosts: l.hosts}
	for _, e := range l.seen {
		s.Entries = append(s.Entries, e)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		return fmt.Errorf("save learned exposure: %w", err)
	}
	return os.Rename(path+".new", path)
}

// Load reads what Save wrote; no file is nothing learned.
func (l *Learner) Load(path string) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var s snapshot
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		return fmt.Errorf("learned exposure %s: %w; remove it to learn anew", path, err)
	}
	for h, t := range s.Hosts {
		l.hosts[h] = t
	}
	for _, e := range s.Entries {
		l.seen[entryKey{e.Host, e.Inbound, e.Proto, e.Port, e.Peer}] = e
		l.count[e.Host]++
	}
	return nil
}
