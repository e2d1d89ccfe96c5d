// SPDX-License-Identifier: Apache-2.0

package reputation

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
)

// bigLibrary: half a million addresses, 300,000 names, 50,000 URLs and hashes, 5,000
// prefixes in four sources, and an allow-list of 2,000 prefixes.
func bigLibrary(b *testing.B) *Library {
	b.Helper()
	d := rand.New(rand.NewPCG(1, 2))
	var parts [4]bytes.Buffer
	for i := range 500_000 {
		a := netip.AddrFrom4([4]byte{byte(20 + d.IntN(60)), byte(d.IntN(256)), byte(d.IntN(256)), byte(d.IntN(256))})
		fmt.Fprintln(&parts[i%4], a)
	}
	for i := range 300_000 {
		fmt.Fprintf(&parts[i%4], "n%d.bad%d.com\n", i, d.IntN(1_000_000))
	}
	for i := range 50_000 {
		fmt.Fprintf(&parts[i%4], "http://h%d.com/p/%d.php\n%064x\n", i, i, i)
	}
	for i := range 5_000 {
		fmt.Fprintf(&parts[i%4], "45.%d.%d.0/24\n", d.IntN(256), d.IntN(256))
	}
	var allow bytes.Buffer
	for range 2_000 {
		fmt.Fprintf(&allow, "34.%d.%d.0/24\n", d.IntN(256), d.IntN(256))
	}
	s := &shelf{dir: b.TempDir()}
	cfg := Config{}
	t := &testing.T{}
	s.t = t
	for i := range parts {
		cfg.Sources = append(cfg.Sources, s.source(fmt.Sprintf("s%d", i), parts[i].String(), 0.9))
	}
	cfg.Allow = append(cfg.Allow, s.allow("clouds", allow.String(), false))
	return s.library(cfg)
}

// cpu is the processor time of this process in nanoseconds: on a shared machine the
// wall clock measures the neighbours.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func BenchmarkLookup(b *testing.B) {
	l := bigLibrary(b)
	d := rand.New(rand.NewPCG(3, 4))
	const n = 1 << 16
	addrs, names, unknown, urls, hashText := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i := range n {
		addrs[i] = fmt.Sprintf("%d.%d.%d.%d", 90+d.IntN(60), d.IntN(256), d.IntN(256), d.IntN(256))
		names[i] = fmt.Sprintf("n%d.bad%d.com", d.IntN(300_000), d.IntN(1_000_000))
		unknown[i] = fmt.Sprintf("cdn%d.static.example%d.co.uk", i, i)
		urls[i] = fmt.Sprintf("http://www.example%d.com/a/b/c?id=%d", i, i)
		hashText[i] = fmt.Sprintf("%064x", d.IntN(100_000))
	}
	hit := make([]string, 0, n)
	for a := range uint32(1 << 30) {
		text := netip.AddrFrom4([4]byte{byte(20 + a%60), byte(a >> 3), byte(a >> 7), byte(a)}).String()
		if _, ok := l.Lookup("ip", text, noon); ok {
			if hit = append(hit, text); len(hit) == 4096 {
				break
			}
		}
	}
	for _, c := range []struct {
		name, kind string
		values     []string
	}{
		{"ip miss", "ip", addrs}, {"ip hit", "ip", hit}, {"domain mostly miss", "domain", names}, {"domain miss 4 labels", "domain", unknown},
		{"url miss", "url", urls}, {"hash half hit", "hash", hashText},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			start := cpu()
			for b.Loop() {
				l.Lookup(c.kind, c.values[i%len(c.values)], noon)
				i++
			}
			b.ReportMetric(float64(cpu()-start)/float64(i), "cpu-ns/op")
		})
	}
	b.Run("bytes per value", func(b *testing.B) {
		for b.Loop() {
		}
		b.ReportMetric(float64(l.Bytes())/float64(len(l.now.Load().records)), "B/value")
	})
}
