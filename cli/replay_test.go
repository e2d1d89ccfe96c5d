// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

// judge replays the demonstration and gives what was told and what it came to.
func judge(t *testing.T) (string, []*verdict.Incident) {
	t.Helper()
	var told bytes.Buffer
	r, err := brain.NewReplayer(brain.DefaultConfig(), "default", heardJSON(&told), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := event.ReadRecording(bytes.NewReader(demo), func(ev *event.Event) error { r.See(ev); return nil }); err != nil {
		t.Fatal(err)
	}
	r.Finish()
	return told.String(), r.Incidents()
}

func TestReplayIsExact(t *testing.T) {
	one, _ := judge(t)
	two, _ := judge(t)
	if one != two {
		t.Error("the same events gave different findings")
	}
}

func TestDemoIsOneIncidentLedBackToItsUpload(t *testing.T) {
	_, incidents := judge(t)
	if len(incidents) != 1 {
		t.Fatalf("%d incidents, want 1", len(incidents))
	}
	inc := incidents[0]
	if inc.GetEntry().GetKind() != entity.Kind_REQUEST || inc.Entry.GetRequest().Method != "POST" {
		t.Errorf("entry is %v, want the upload request", inc.Entry)
	}
	for _, layer := range []string{"network", "file", "behaviour", "intel"} {
		if !strings.Contains(strings.Join(inc.Layers, " "), layer) {
			t.Errorf("layer %s is silent; %v spoke", layer, inc.Layers)
		}
	}
}
