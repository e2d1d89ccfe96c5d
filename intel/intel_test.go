// SPDX-License-Identifier: Apache-2.0

package intel

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/intel/reputation"
	"github.com/ringwall/ringwall/intel/risk"
)

func request(from string, at time.Time) *event.Event {
	fl := entity.NewFlow(netip.MustParseAddrPort(from), netip.MustParseAddrPort("192.0.2.1:80"), 6)
	return &event.Event{Tenant: "default", Host: "web", Epoch: 2, Seq: 1, WallNs: at.UnixNano(), Payload: &event.Event_Http{Http: &event.HttpActivity{
		Op: event.HttpActivity_REQUEST, Request: &entity.Request{Flow: fl, Method: "GET", Uri: "/"}}}}
}

func TestOwnSightings(t *testing.T) {
	own := risk.NewMemory()
	s := NewStage(nil, own)
	now := time.Unix(1_700_000_000, 0)
	if f := s.See(request("10.1.1.9:4000", now)); f != nil {
		t.Errorf("a stranger is no finding: %v", f)
	}
	own.Note("default", netip.MustParseAddr("10.1.1.9"), "i-1", "web", 0.97, now)
	found := s.See(request("10.1.1.9:4001", now.Add(time.Second)))
	if len(found) != 1 || found[0].Black() || found[0].Layer != "intel" {
		t.Fatalf("want one grey finding, got %v", found)
	}
	if f := s.See(request("10.1.1.9:4002", now.Add(time.Minute))); f != nil {
		t.Error("told twice within the hour")
	}
	if f := s.See(request("10.1.1.8:4000", now)); f != nil {
		t.Error("the neighbour is no finding")
	}
	if _, ok := own.Lookup("other", netip.MustParseAddr("10.1.1.9"), now); ok {
		t.Error("another tenant's incident is told")
	}
	if old, _ := own.Lookup("default", netip.MustParseAddr("10.1.1.9"), now.Add(30*24*time.Hour)); old.Score > 0.55 {
		t.Errorf("after a month %.2f is left", old.Score)
	}
}

func TestListedAddress(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.txt")
	if err := os.WriteFile(file, []byte("203.0.113.7\n8.8.8.8\n198.41.0.4\n45.155.205.233\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lists, err := reputation.New(reputation.Config{Sources: []reputation.Source{{List: reputation.List{Name: "bad", Path: file, Format: "plain"}, Confidence: 0.95}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := lists.Reload(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	s := NewStage(lists, risk.NewMemory())
	if f := s.See(request("45.155.205.233:4000", time.Now())); len(f) != 1 || !f[0].Black() {
		t.Errorf("want a black finding, got %v", f)
	}
	if f := s.See(request("45.155.205.234:4000", time.Now())); f != nil {
		t.Errorf("an unlisted address is a finding: %v", f)
	}
}
