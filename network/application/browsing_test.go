// SPDX-License-Identifier: Apache-2.0

package application

import (
	"hash/fnv"
	"slices"
	"testing"
	"time"
)

// Steps of TestBrowsing: one benign request in so many is judged by the rules.
const benignStep = 16

// TestBrowsing measures on labelled browsing (network.md §3.2). Rules were chosen and
// weighed on the sites whose name hashes to an odd number; the figures are those of the
// others. Attacks all go to one application, so their share is of what this data holds.
func TestBrowsing(t *testing.T) {
	if testing.Short() {
		t.Skip("short: judges thousands of requests")
	}
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	type count struct{ all, white, told int }
	var benign, attack count
	var took []time.Duration
	buckets := map[int][2]int{}
	seen := 0
	for _, r := range records(t, "http_browsing.jsonl.zst") {
		c := &attack
		if r.Label != "malicious" {
			h := fnv.New32a()
			h.Write([]byte(r.Site))
			if h.Sum32()%2 == 1 {
				continue
			}
			if seen++; seen%benignStep != 0 {
				continue
			}
			c = &benign
		}
		a := r.activity()
		c.all++
		white := e.White(a)
		if white {
			c.white++
		}
		start := time.Now()
		res, err := e.Judge(a)
		if err != nil {
			t.Fatal(err)
		}
		if !white && c == &benign {
			took = append(took, time.Since(start))
		}
		if white && res.Anomaly >= e.cfg.Threshold {
			t.Errorf("white, but the rules say %+v: %s %s", res.Hits, r.Method, r.URI)
		}
		b := buckets[min(res.Anomaly/5*5, 20)]
		if c == &attack {
			b[1]++
		} else {
			b[0]++
		}
		buckets[min(res.Anomaly/5*5, 20)] = b
		if !white && res.Anomaly >= e.cfg.Threshold {
			c.told++
			if c == &benign && testing.Verbose() {
				t.Logf("told of benign %s %.100s: %+v", r.Method, r.URI, res.Hits[0])
			}
		}
	}
	slices.Sort(took)
	t.Logf("benign: %d, white %d (%.1f %%), told %d (%.2f %%)", benign.all, benign.white, 100*float64(benign.white)/float64(benign.all), benign.told, 100*float64(benign.told)/float64(benign.all))
	t.Logf("attacks: %d, white %d, told %d (%.1f %%)", attack.all, attack.white, attack.told, 100*float64(attack.told)/float64(attack.all))
	t.Logf("anomaly [benign attacks]: %v", buckets)
	t.Logf("rules on benign that is not white: p50 %v, p99 %v, most %v", took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	if benign.told*100 > benign.all*2 {
		t.Errorf("%d of %d benign requests are told", benign.told, benign.all)
	}
	if attack.told*100 < attack.all*60 {
		t.Errorf("%d of %d attacks are told", attack.told, attack.all)
	}
	if attack.white*100 > attack.all*2 {
		t.Errorf("%d of %d attacks are white", attack.white, attack.all)
	}
}
