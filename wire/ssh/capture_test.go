// SPDX-License-Identifier: Apache-2.0

package ssh_test

import (
	"slices"
	"testing"

	"github.com/ringwall/ringwall/wire/internal/capture"
	"github.com/ringwall/ringwall/wire/ssh"
)

func TestAgreementWithTshark(t *testing.T) {
	type line struct {
		File         string
		Frame        int
		L4           string
		Sport, Dport uint16
		Hassh        string
		HasshServer  string `json:"hassh_server"`
	}
	lines := capture.Lines[line](t, capture.Data(t, "network/pcap_fingerprints.jsonl.zst"))
	files := capture.Files(t, capture.Data(t, "network/pcaps.tar.zst"), "zeek/", "ja4/", "mercury/")
	type flow struct {
		file   string
		sp, dp uint16
	}
	ours := map[flow][]*ssh.KexInit{}
	parsed := map[string]bool{}
	for method, want := range map[string]func(line) string{
		"hassh":       func(l line) string { return l.Hassh },
		"hasshServer": func(l line) string { return l.HasshServer },
	} {
		same, total := 0, 0
		for _, l := range lines {
			if want(l) == "" {
				continue
			}
			if !parsed[l.File] {
				parsed[l.File] = true
				for _, d := range capture.Directions(files[l.File]) {
					var s ssh.Stream
					for _, b := range d.Segments {
						if done, _ := s.Feed(b); done {
							break
						}
					}
					if s.KexInit != nil {
						k := flow{l.File, d.SrcPort, d.DstPt}
						ours[k] = append(ours[k], s.KexInit)
					}
				}
			}
			total++
			k := ours[flow{l.File, l.Sport, l.Dport}]
			if slices.ContainsFunc(k, func(k *ssh.KexInit) bool {
				have, _ := k.HASSH()
				if method == "hasshServer" {
					have, _ = k.HASSHServer()
				}
				return have == want(l)
			}) {
				same++
				continue
			}
			t.Logf("%s differs: %s frame %d %d->%d tshark %s ours %+v", method, l.File, l.Frame, l.Sport, l.Dport, want(l), k)
		}
		t.Logf("%s: %d of %d agree with tshark (%.2f %%)", method, same, total, 100*float64(same)/float64(total))
		if total == 0 || float64(same) < 0.995*float64(total) {
			t.Errorf("%s: agreement below 99.5 %%", method)
		}
	}
}
