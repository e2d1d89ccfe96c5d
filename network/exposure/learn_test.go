// SPDX-License-Identifier: Apache-2.0

package exposure

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

var start = time.Unix(1_700_000_000, 0)

func connection(op event.NetworkActivity_Op, src, dst string, after time.Duration) *event.Event {
	fl := entity.NewFlow(netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst), 6)
	return &event.Event{Host: "web", Epoch: 2, Seq: 1, WallNs: start.Add(after).UnixNano(), Payload: &event.Event_Network{Network: &event.NetworkActivity{Op: op, Flow: fl}}}
}

func TestOutsideWhatWasLearned(t *testing.T) {
	l := NewLearner(LearnConfig{})
	accept := func(src string, after time.Duration) bool {
		return l.See(connection(event.NetworkActivity_ACCEPT, src, "10.0.0.2:80", after)) != nil
	}
	connect := func(dst string, after time.Duration) bool {
		return l.See(connection(event.NetworkActivity_CONNECT, "10.0.0.2:40000", dst, after)) != nil
	}
	if accept("198.51.100.7:4000", 0) || connect("10.0.0.3:6379", time.Hour) {
		t.Error("a host that is only watched is told of")
	}
	day := 25 * time.Hour
	for what, told := range map[string]bool{
		"another stranger to the open port":  accept("203.0.113.9:4000", day),
		"the same data host":                 connect("10.0.0.3:6379", day),
		"a neighbour in the learned network": connect("10.0.0.4:6379", day),
		"loopback":                           connect("127.0.0.1:9000", day),
	} {
		if told {
			t.Errorf("%s is told", what)
		}
	}
	if !connect("203.0.113.9:4444", day) {
		t.Error("a first connection outwards is not told")
	}
	if connect("203.0.113.10:4444", day) {
		t.Error("the same thing is told twice")
	}
	path := filepath.Join(t.TempDir(), "exposure.json")
	if err := l.Save(path); err != nil {
		t.Fatal(err)
	}
	again := NewLearner(LearnConfig{})
	if err := again.Load(path); err != nil {
		t.Fatal(err)
	}
	if a, b := len(l.Policy("web", start.Add(day))), len(again.Policy("web", start.Add(day))); a != b || a != 3 {
		t.Errorf("%d entries before, %d after a restart, want 3", a, b)
	}
	if again.See(connection(event.NetworkActivity_CONNECT, "10.0.0.2:40000", "192.0.2.1:25", day)) == nil {
		t.Error("after a restart the host is only watched again")
	}
}
