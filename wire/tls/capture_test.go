// SPDX-License-Identifier: Apache-2.0

package tls_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/wire/internal/capture"
	"github.com/ringwall/ringwall/wire/tls"
)

type flow struct {
	file   string
	sp, dp uint16
}

// seen is what our parser read from one direction.
type seen struct {
	ja3, ja3s, sni []string
	ja4            []tls.JA4
}

// explained are disagreements that were looked into and stand.
var explained = map[string]string{
	"mercury/openvpn_tcp_multi.pcap": "TLS lies inside OpenVPN's own framing, which is not ours to undo",
}

// follow feeds a direction segment by segment; where clear text comes first
// (STARTTLS, proxies) it starts again at the first hello, and after the end of
// one handshake it looks for a second hello, as after a HelloRetryRequest.
func follow(segments [][]byte) seen {
	var out seen
	var s tls.Stream
	for _, b := range segments {
		if done, _ := s.Feed(b); done {
			break
		}
	}
	out.take(&s)
	all := slices.Concat(segments...)
	for at := 0; at < len(all); {
		i := tls.FindHello(all[at:])
		if i < 0 {
			break
		}
		at += i
		var s tls.Stream
		s.Feed(all[at:])
		out.take(&s)
		at++
	}
	return out
}

func (o *seen) take(s *tls.Stream) {
	if h := s.ClientHello; h != nil {
		hash, _ := h.JA3()
		o.ja3 = append(o.ja3, hash)
		o.sni = append(o.sni, h.SNI)
		o.ja4 = append(o.ja4, h.JA4(tls.TCP))
	}
	for _, h := range []*tls.ServerHello{s.Retry, s.ServerHello} {
		if h == nil {
			continue
		}
		hash, _ := h.JA3S()
		o.ja3s = append(o.ja3s, hash)
	}
}

func TestAgreementWithTshark(t *testing.T) {
	type line struct {
		File         string
		Frame        int
		Src, Dst, L4 string
		Sport, Dport uint16
		JA3, JA3S    string
		SNI          string
	}
	lines := capture.Lines[line](t, capture.Data(t, "network/pcap_fingerprints.jsonl.zst"))
	files := capture.Files(t, capture.Data(t, "network/pcaps.tar.zst"), "zeek/", "ja4/", "mercury/")
	ours := map[flow]*seen{}
	parsed := map[string]bool{}
	type tally struct{ same, explained, total int }
	sum := map[string]*tally{"ja3": {}, "ja3s": {}, "sni": {}}
	for _, l := range lines {
		if l.L4 != "tcp" {
			continue
		}
		if !parsed[l.File] {
			parsed[l.File] = true
			for _, d := range capture.Directions(files[l.File]) {
				k := flow{l.File, d.SrcPort, d.DstPt}
				if ours[k] == nil {
					ours[k] = &seen{}
				}
				f := follow(d.Segments)
				o := ours[k]
				o.ja3, o.ja3s, o.sni = append(o.ja3, f.ja3...), append(o.ja3s, f.ja3s...), append(o.sni, f.sni...)
			}
		}
		o := ours[flow{l.File, l.Sport, l.Dport}]
		if o == nil {
			o = &seen{}
		}
		check := func(method, want string, have []string) {
			if want == "" {
				return
			}
			sum[method].total++
			if slices.Contains(have, want) {
				sum[method].same++
				return
			}
			if why := explained[l.File]; why != "" {
				sum[method].explained++
				t.Logf("%s differs, explained: %s frame %d: %s", method, l.File, l.Frame, why)
				return
			}
			t.Logf("%s differs: %s frame %d %d->%d tshark %s ours %v", method, l.File, l.Frame, l.Sport, l.Dport, want, have)
		}
		check("ja3", l.JA3, o.ja3)
		check("ja3s", l.JA3S, o.ja3s)
		check("sni", l.SNI, o.sni)
	}
	for _, m := range []string{"ja3", "ja3s", "sni"} {
		s := sum[m]
		t.Logf("%s over TCP: %d of %d agree with tshark, %d more are explained (%.2f %%)", m, s.same, s.total, s.explained, 100*float64(s.same)/float64(s.total))
		if s.total == 0 || float64(s.same+s.explained) < 0.995*float64(s.total) {
			t.Errorf("%s: agreement below 99.5 %%", m)
		}
	}
}

func TestAgreementWithFoxIO(t *testing.T) {
	files := capture.Files(t, capture.Data(t, "network/pcaps.tar.zst"), "ja4/", "ja4-expected/")
	same, total := 0, 0
	for name, image := range files {
		base, ok := strings.CutPrefix(name, "ja4-expected/")
		if !ok {
			continue
		}
		var streams []map[string]any
		if err := json.Unmarshal(image, &streams); err != nil {
			t.Fatal(name, err)
		}
		ours := map[string][]tls.JA4{}
		for _, d := range capture.Directions(files["ja4/"+strings.TrimSuffix(base, ".json")]) {
			k := fmt.Sprint(d.SrcPort, "-", d.DstPt)
			ours[k] = append(ours[k], follow(d.Segments).ja4...)
		}
		for _, s := range streams {
			for k, v := range s {
				n, ok := strings.CutPrefix(k, "JA4.")
				if !ok {
					continue
				}
				total++
				have := ours[fmt.Sprint(s["srcport"], "-", s["dstport"])]
				if slices.ContainsFunc(have, func(j tls.JA4) bool {
					return j.Hash == v && j.Raw == s["JA4_r."+n] && j.OriginalHash == s["JA4_o."+n] && j.OriginalRaw == s["JA4_ro."+n]
				}) {
					same++
					continue
				}
				t.Errorf("%s stream %v: FoxIO %v\n%v\n%v\n%v\nours %q", base, s["stream"], v, s["JA4_r."+n], s["JA4_o."+n], s["JA4_ro."+n], have)
			}
		}
	}
	t.Logf("JA4 with all raw forms: %d of %d agree with FoxIO", same, total)
}

// TestEveryCapture feeds all captures whole and byte by byte: same result.
func TestEveryCapture(t *testing.T) {
	files := capture.Files(t, capture.Data(t, "network/pcaps.tar.zst"), "zeek/tls", "ja4/", "mercury/", "suricata/")
	hellos, certs, bad := 0, 0, 0
	for name, image := range files {
		for _, d := range capture.Directions(image) {
			var whole, single tls.Stream
			all := d.Bytes()
			_, errWhole := whole.Feed(all)
			var errSingle error
			for i := range all {
				var done bool
				if done, errSingle = single.Feed(all[i : i+1]); done {
					break
				}
			}
			if a, b := fmt.Sprintf("%+v", whole.Certificates), fmt.Sprintf("%+v", single.Certificates); a != b ||
				(whole.ClientHello == nil) != (single.ClientHello == nil) || (whole.ServerHello == nil) != (single.ServerHello == nil) ||
				errors.Is(errWhole, tls.ErrNotTLS) != errors.Is(errSingle, tls.ErrNotTLS) {
				t.Errorf("%s %d->%d: whole and single bytes differ: %v, %v", name, d.SrcPort, d.DstPt, errWhole, errSingle)
			}
			if whole.ClientHello != nil || whole.ServerHello != nil {
				hellos++
			}
			for _, c := range whole.Certificates {
				certs++
				if c.Err != nil {
					bad++
					t.Logf("%s: %v", name, c.Err)
				}
			}
		}
	}
	t.Logf("%d hellos, %d certificates of which %d were refused by crypto/x509", hellos, certs, bad)
}
