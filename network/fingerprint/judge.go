// SPDX-License-Identifier: Apache-2.0

package fingerprint

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

// weights of a malicious name per method, in nats, before trust. JA3 hardly separates
// (46 of the 84 malicious ones of our data are common elsewhere); JA4 sorts what clients
// shuffle and separates better; SSH programs are few and their settings shared; a SYN that no
// system makes is a program's that wants no connection.
var weights = map[string]float64{"ja3": 1, "ja3s": 0.5, "ja4": 3, "hassh": 2, "hassh_server": 1, "syn": 4}

// print is one fingerprint of an event.
type print struct{ method, value string }

func prints(ev *event.Event) []print {
	var out []print
	add := func(method, value string) {
		if value != "" && len(value) <= maxPrint {
			out = append(out, print{method, value})
		}
	}
	switch p := ev.GetPayload().(type) {
	case *event.Event_Tls:
		add("ja4", p.Tls.GetJa4())
		add("ja3", p.Tls.GetJa3())
		add("ja3s", p.Tls.GetJa3S())
	case *event.Event_Ssh:
		add("hassh", p.Ssh.GetHassh())
		add("hassh_server", p.Ssh.GetHasshServer())
	case *event.Event_Network:
		if p.Network.GetInbound() {
			add("syn", p.Network.GetSyn())
		}
	}
	return out
}

// maxPrint bounds a fingerprint's text: a JA4 has 36 characters.
const maxPrint = 64

// Judge is the stage: white when every fingerprint that is known is a benign program's,
// grey with evidence when one is a malicious program's.
func (l *Library) Judge(_ context.Context, ev *event.Event) (verdict.Verdict, error) {
	v := verdict.Verdict{Engine: "fingerprint"}
	benign := false
	for _, p := range prints(ev) {
		key := p.method + ":" + p.value
		often := l.memory.count(key, ev.WallNs)
		k, ok := l.of(key, ev.Wall())
		switch {
		case !ok:
		case !k.Malicious:
			benign = true
		default:
			w := weights[p.method]
			if k.Trust > 0 {
				w *= min(k.Trust, 1)
			}
			what := fmt.Sprintf("%s of %s (%s)", p.method, k.Label, k.Source)
			if often {
				// What this host does all the time is not what a list was made for.
				w /= 4
				what += ", but common here"
			}
			v.Evidence = append(v.Evidence, &verdict.Evidence{What: what, Where: key, Weight: w, Engine: "fingerprint/" + p.method, Root: rootOf(ev)})
			if v.Family == "" {
				v.Family = k.Label
			}
		}
	}
	switch {
	case len(v.Evidence) > 0:
		sum, kept := verdict.Join(prior, v.Evidence)
		v.Evidence, v.Score = kept, sum.Probability()
	case benign:
		v.Colour = verdict.Colour_WHITE
	}
	return v, nil
}

// prior: one flow in ten thousand is malicious. An assumption; decide has its own.
const prior = verdict.LogOdds(-9.2)

// All methods read the same hello: one witness.
func rootOf(ev *event.Event) string { return "hello/" + flow(ev).CommunityID() }

func flow(ev *event.Event) *entity.Flow {
	if t := ev.GetTls(); t != nil {
		return t.GetFlow()
	}
	if n := ev.GetNetwork(); n != nil {
		return n.GetFlow()
	}
	return ev.GetSsh().GetFlow()
}

// Finding words a verdict that has evidence, else nil. It is always grey.
func (l *Library) Finding(ev *event.Event, v verdict.Verdict) *verdict.Finding {
	if len(v.Evidence) == 0 {
		return nil
	}
	client := flow(ev).Src().Addr()
	scan := ev.GetNetwork() != nil
	if scan && !l.told.first(client.String()+" "+v.Evidence[0].Where, ev.WallNs) {
		return nil // one SYN of a scan stands for all
	}
	f := &verdict.Finding{
		Host: ev.Host, WallNs: ev.WallNs, Layer: "network", Stage: "fingerprint", Rule: v.Evidence[0].Engine,
		Title: "Handshake like that of " + v.Family, Colour: verdict.Colour_GREY, Score: v.Score,
		Techniques: []string{"T1071"}, // Application Layer Protocol
		Evidence:   v.Evidence, Events: []*verdict.EventID{ev.ID()},
		Subjects: []*entity.Sighting{
			{Kind: entity.Kind_FLOW, Role: "object", Host: ev.Host, WallNs: ev.WallNs, Flow: flow(ev)},
			{Kind: entity.Kind_FINGERPRINT, Role: "object", Text: v.Evidence[0].Where},
		},
	}
	if scan {
		f.Title, f.Techniques = "Connection attempt made by "+v.Family, []string{"T1595.001"} // Scanning IP Blocks
		f.Subjects = append([]*entity.Sighting{{Kind: entity.Kind_ADDRESS, Role: "source", Host: ev.Host, Text: client.String()}}, f.Subjects...)
	}
	if ev.Actor != nil {
		f.Subjects = append(f.Subjects, &entity.Sighting{Kind: entity.Kind_PROCESS, Role: "actor", Process: ev.Actor})
	}
	f.SetID()
	return f
}

// told remembers what was said of whom, so that a scan is one finding an hour.
type told struct {
	mu   sync.Mutex // guards when
	when map[string]int64
}

const (
	toldKept = 4096
	toldFor  = int64(time.Hour)
)

func (t *told) first(what string, wall int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at, ok := t.when[what]; ok && wall-at < toldFor && wall >= at {
		return false
	}
	if t.when == nil || len(t.when) >= toldKept {
		t.when = map[string]int64{}
	}
	t.when[what] = wall
	return true
}

// memory counts fingerprints in two generations, so that it forgets the rare first.
type memory struct {
	mu       sync.Mutex // guards both
	now, old map[string]*habit
}

type habit struct {
	first int64
	count uint32
}

// A fingerprint is common when it was seen often and for long: one busy hour of an
// intruder is neither.
const (
	habits     = 4096 // per generation; 2 x 4096 x ~150 bytes are 1.2 MB
	commonFrom = 50
	commonFor  = int64(24 * time.Hour)
)

// count notes one more and tells whether the fingerprint was common before.
func (m *memory) count(key string, wall int64) (common bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now == nil {
		m.now = map[string]*habit{}
	}
	h := m.now[key]
	if h == nil {
		if h = m.old[key]; h == nil {
			h = &habit{first: wall}
		}
		if len(m.now) >= habits {
			m.old, m.now = m.now, map[string]*habit{}
		}
		m.now[key] = h
	}
	common = h.count >= commonFrom && wall-h.first >= commonFor
	if h.count < ^uint32(0) {
		h.count++
	}
	return common
}
