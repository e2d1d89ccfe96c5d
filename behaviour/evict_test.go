// SPDX-License-Identifier: Apache-2.0

package behaviour_test

import (
	"fmt"
	"testing"

	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/graph"
)

// nameOf is who a node is, whatever is known of it.
func nameOf(g *graph.Graph, id graph.NodeID) string {
	n := g.Node(id)
	switch {
	case n == nil:
		return ""
	case n.Process != nil:
		return fmt.Sprintf("%s pid %d from %d", g.HostName(n.Host), n.Process.Ref.Pid, n.Process.Ref.StartNs)
	case n.File != nil:
		return fmt.Sprintf("%s inode %d", g.HostName(n.Host), n.File.Ref.Inode)
	}
	return g.Sighting(id, "").Label()
}

// TestEvictionForgetsButDoesNotErr compares a graph that must evict all the time with
// a twin that never does. What the small one says is what the twin says, or less.
func TestEvictionForgetsButDoesNotErr(t *testing.T) {
	for seed := range uint64(3) {
		small, twin := graph.New("default", graph.Config{Bytes: 1 << 20, MaxHub: 256}), graph.New("default", graph.Config{Bytes: 1 << 40})
		s := newStream(seed, 3)
		kept := map[graph.NodeID]string{}
		same, shorter, lost := 0, 0, 0
		for range 40_000 {
			ev := s.next()
			for _, g := range []*graph.Graph{small, twin} {
				f := g.Add(ev)
				if g == small && f.Object != 0 && len(kept) < 20_000 {
					kept[f.Object] = nameOf(g, f.Object)
				}
			}
			if len(s.queue) > 0 || s.rng.IntN(20) != 0 {
				continue
			}
			for _, d := range s.deeds {
				tm := twin.Steady(d.host, d.at.BootNs, d.at.WallNs)
				a, b := trace.Back(small, small.Resolve(d.what, d.host, tm), tm), trace.Back(twin, twin.Resolve(d.what, d.host, tm), tm)
				onWay := map[string]bool{}
				for _, h := range b.Hops {
					onWay[nameOf(twin, h.Node)] = true
					if f := trace.EntryClient(twin, h.Node); f != nil { // the connection of a log-in
						onWay[(&entity.Sighting{Kind: entity.Kind_FLOW, Flow: f}).Label()] = true
					}
				}
				for i, h := range a.Hops {
					if name := nameOf(small, h.Node); i > 0 && name != "" && !onWay[name] {
						t.Fatalf("seed %d: %s: %q is not on the way %v", seed, d.what.Label(), name, onWay)
					}
				}
				switch entry := nameOf(small, a.Entry); {
				case entry == nameOf(twin, b.Entry) && entry != "":
					same++
				case entry == "":
					if b.Entry != 0 {
						lost++
					}
				case onWay[entry]:
					shorter++
				default:
					t.Fatalf("seed %d: %s: entry %q, the twin says %q", seed, d.what.Label(), entry, nameOf(twin, b.Entry))
				}
			}
			s.deeds = s.deeds[:0]
		}
		st := small.Stats()
		if st.Evicted < 1000 || st.Bytes > 1<<20+1<<18 {
			t.Errorf("seed %d: the small graph was to evict and stay small: %+v", seed, st)
		}
		if same == 0 {
			t.Errorf("seed %d: nothing was traced", seed)
		}
		stale := 0
		for id, name := range kept {
			n := small.Node(id)
			if n == nil {
				stale++
			} else if n.Kind != entity.Kind_FILE && nameOf(small, id) != name {
				t.Fatalf("seed %d: id %x was %q and is %q", seed, id, name, nameOf(small, id))
			}
		}
		t.Logf("seed %d: %d traces the same, %d shorter, %d lost; %d evicted, %d of %d old ids stale", seed, same, shorter, lost, st.Evicted, stale, len(kept))
	}
}
