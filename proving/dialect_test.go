// SPDX-License-Identifier: Apache-2.0

package proving

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/ledger"
	"github.com/ringwall/ringwall/verdict"
)

func said(t *testing.T, word any) []byte {
	t.Helper()
	text, err := json.Marshal(word)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func upload() *entity.Sighting {
	return &entity.Sighting{Kind: entity.Kind_REQUEST, Host: "web1", WallNs: 1_800_000_000_000_000_000, Request: &entity.Request{Method: "POST", Uri: "/upload.php",
		Flow: &entity.Flow{SrcIp: netip.MustParseAddr("10.1.2.3").AsSlice(), SrcPort: 41001, DstIp: netip.MustParseAddr("10.1.2.4").AsSlice(), DstPort: 80}}}
}

// TestOwnWords keeps the reader of doors and the product's words together.
func TestOwnWords(t *testing.T) {
	finding := said(t, api.FindingOf(&verdict.Finding{Id: "f1", Host: "web1", Layer: "file", Stage: "light", Colour: verdict.Colour_BLACK, Score: 0.9, PublishedNs: 1_800_000_000_000_000_123,
		Subjects: []*entity.Sighting{upload(), {Kind: entity.Kind_FILE, File: &entity.File{Path: "/x/run.php"}}, {Kind: entity.Kind_PROCESS, Process: &entity.Process{Pid: 4711, Exe: "/bin/sh"}}}}, ""))
	for _, line := range [][]byte{finding, []byte(`{"finding":` + string(finding) + `}`)} {
		f, err := decodeFinding(line)
		if err != nil || f == nil {
			t.Fatalf("%s: %v", line, err)
		}
		if f.PublishedNS != 1_800_000_000_000_000_123 || !f.AboveGrey() || f.By() != "file.light" {
			t.Errorf("%+v", f)
		}
		if f.Subjects[0]["client"] != "10.1.2.3:41001" || f.Subjects[1]["path"] != "/x/run.php" || f.Subjects[2]["pid"] != float64(4711) {
			t.Errorf("subjects %v", f.Subjects)
		}
	}
	grey, err := decodeFinding(said(t, api.FindingOf(&verdict.Finding{Id: "f2"}, "")))
	if err != nil || grey.AboveGrey() {
		t.Errorf("a grey one: %+v %v", grey, err)
	}
	if f, err := decodeFinding([]byte(`{"incident":{"id":"i1"}}`)); f != nil || err != nil {
		t.Errorf("an incident in the stream: %v %v", f, err)
	}

	incidents, err := decodeIncidents([]byte("[" + string(said(t, api.IncidentOf(ledger.ListedIncident{Incident: &verdict.Incident{Id: "i1", Findings: []string{"f1"}, Entry: upload()}}, true))) + "]"))
	if err != nil || len(incidents) != 1 {
		t.Fatalf("%v %v", incidents, err)
	}
	if c := incidents[0].RootCause; c == nil || c.Client != "10.1.2.3:41001" || c.URI != "/upload.php" || c.Method != "POST" || c.Kind != "request" || c.Host != "web1" || string(c.Time) != `"2027-01-15T08:00:00Z"` {
		t.Errorf("root cause %+v", incidents[0].RootCause)
	}

	order := action.Record{Order: action.Order{ID: "a1", Host: "web1", Kind: action.BlockAddress, Stage: action.Enforce, Ordered: time.Unix(1_800_000_000, 5),
		Subject: &entity.Sighting{Kind: entity.Kind_ADDRESS, Text: "10.1.2.3"}}, State: action.Verified}
	actions, err := decodeActions(said(t, api.ActionOf(&order)))
	if err != nil || len(actions) != 1 {
		t.Fatalf("%v %v", actions, err)
	}
	if a := actions[0]; a.Kind != "block_address" || a.Target != "10.1.2.3" || a.Stage != "enforce" || !a.Verified || a.OrderedNS != 1_800_000_000_000_000_005 {
		t.Errorf("action %+v", a)
	}
}

func TestPlainWords(t *testing.T) {
	f, err := decodeFinding([]byte(`{"id":"f1","published_ns":5,"colour":"black","incident":"i1","subjects":[{"kind":"request","client":"10.1.2.3:1","uri":"/x"}]}`))
	if err != nil || f.PublishedNS != 5 || f.Incident != "i1" || f.Subjects[0]["client"] != "10.1.2.3:1" {
		t.Errorf("%+v %v", f, err)
	}
	if e, err := decodeEvents([]byte(`{"events":{"seen":3,"lost":1}}`)); err != nil || e.Seen != 3 || e.Lost != 1 {
		t.Errorf("%+v %v", e, err)
	}
	if e, err := decodeEvents([]byte(`{"counts":{"events":7},"lost":{"exec":1,"bulk":2}}`)); err != nil || e.Seen != 7 || e.Lost != 3 {
		t.Errorf("%+v %v", e, err)
	}
	trace, err := decodeTrace([]byte(`{"root_cause":null,"rule":"r"}`))
	if err != nil || trace.RootCause != nil || trace.Rule != "r" {
		t.Errorf("%+v %v", trace, err)
	}
}

// FuzzAnswers: whatever a product prints, the range does not fall over.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"id":"f1","published_ns":"5","subjects":[{"request":{"flow":{"src_ip":"10.1.2.3","src_port":1}}}]}`))
	f.Add([]byte(`[{"id":"i","entry":{"kind":"FLOW","flow":{"src_port":-1}}}]`))
	f.Add([]byte(`{"subject":{"process":{"pid":1}},"ordered":"2026-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = decodeFinding(data)
		_, _ = decodeIncidents(data)
		_, _ = decodeActions(data)
		_, _ = decodeTrace(data)
		_, _ = decodeEvents(data)
	})
}
