// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/wire/pcap"
)

// data opens a file of the development data, or skips.
func data(t testing.TB, name string) io.Reader {
	t.Helper()
	root := os.Getenv("RINGWALL_DATA")
	if root == "" {
		t.Skip("RINGWALL_DATA is not set: set it to the folder of development data to replay recorded captures")
	}
	f, err := os.Open(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Close)
	return z
}

// captures gives every capture of the data by name.
func captures(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	tr := tar.NewReader(data(t, "network/pcaps.tar.zst"))
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		switch filepath.Ext(h.Name) {
		case ".pcap", ".pcapng", ".trace", ".cap":
			out[strings.TrimPrefix(h.Name, "./")] = b
		}
	}
}

// replayImage gives the events of a capture.
func replayImage(t testing.TB, name string, image []byte) (events []*event.Event, c Counts) {
	t.Helper()
	r, err := pcap.NewReader(name, bytes.NewReader(image))
	if err != nil {
		return nil, c
	}
	c, _ = replay(context.Background(), r, DefaultConfig(), Options{Redact: redact, Emit: func(ev *event.Event) { events = append(events, ev) }})
	return events, c
}

// oracle is a line of pcap_fingerprints.jsonl: what tshark says.
type oracle struct {
	File         string
	Src, Dst     string
	Sport, Dport uint16
	L4           string
	JA3          string
	JA3S         string
	SNI          string
	HASSH        string
	HASSHServer  string `json:"hassh_server"`
}

func TestFingerprintsAgreeWithTshark(t *testing.T) {
	images := captures(t)
	want := map[string]map[string]int{} // file → fingerprint → times
	dec := json.NewDecoder(data(t, "network/pcap_fingerprints.jsonl.zst"))
	for {
		var o oracle
		if err := dec.Decode(&o); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if o.L4 != "tcp" {
			continue
		}
		m := want[o.File]
		if m == nil {
			m = map[string]int{}
			want[o.File] = m
		}
		for kind, v := range map[string]string{"ja3": o.JA3, "ja3s": o.JA3S, "hassh": o.HASSH, "hassh_server": o.HASSHServer} {
			if v != "" {
				m[kind+" "+v]++
			}
		}
	}
	agreed, missed := map[string]int{}, map[string]int{}
	for _, file := range slices.Sorted(maps.Keys(want)) {
		got := map[string]int{}
		image, ok := images[file]
		if !ok {
			t.Fatalf("no capture %s", file)
		}
		events, _ := replayImage(t, file, image)
		for _, ev := range events {
			if a := ev.GetTls(); a != nil && a.Ja3S == "" {
				got["ja3 "+a.Ja3]++
			} else if a != nil {
				got["ja3s "+a.Ja3S]++
			}
			if a := ev.GetSsh(); a != nil {
				got["hassh "+a.Hassh]++
				got["hassh_server "+a.HasshServer]++
			}
		}
		for _, fp := range slices.Sorted(maps.Keys(want[file])) {
			kind, _, _ := strings.Cut(fp, " ")
			n := min(want[file][fp], got[fp])
			agreed[kind] += n
			if d := want[file][fp] - n; d > 0 {
				missed[kind] += d
				t.Logf("%s: %s %d times, we %d", file, fp, want[file][fp], got[fp])
			}
		}
	}
	t.Logf("agreed %v, missed %v", agreed, missed)
	if total := agreed["ja3"] + missed["ja3"]; missed["ja3"]*100 > total*4 {
		t.Errorf("more than 4 %% of tshark's JA3 are missing")
	}
}

func TestEveryCaptureReplays(t *testing.T) {
	apps, kinds := map[string]int{}, map[string]int{}
	var total Counts
	for name, image := range captures(t) {
		events, c := replayImage(t, name, image)
		again, _ := replayImage(t, name, image)
		if len(again) != len(events) {
			t.Errorf("%s: %d events, then %d", name, len(events), len(again))
		}
		for i, ev := range events {
			a, err := ev.MarshalVT()
			b, _ := again[i].MarshalVT()
			if err != nil || !bytes.Equal(a, b) {
				t.Fatalf("%s: event %d differs in a second replay (%v)", name, i, err)
			}
			kinds[ev.Kind()]++
			if n := ev.GetNetwork(); n != nil && n.Op == event.NetworkActivity_FLOW_CLOSE {
				apps[n.App]++
			}
		}
		total.Packets += c.Packets
		total.Other += c.Other
		total.Malformed += c.Malformed
		total.Fragments += c.Fragments
		total.Flows += c.Flows
		total.Gaps += c.Gaps
		total.Conflicts += c.Conflicts
	}
	t.Logf("%+v", total)
	t.Log(apps)
	t.Log(kinds)
}
