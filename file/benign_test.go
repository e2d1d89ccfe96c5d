// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/verdict"
)

// TestBenignTrees judges by content alone, without manifests, every file below
// the folders of RINGWALL_BENIGN (/usr:/opt:!/opt/lab leaves /opt/lab out) and
// fails on each that is convicted. It prints the speed by kind.
func TestBenignTrees(t *testing.T) {
	var roots, without []string
	for _, f := range filepath.SplitList(os.Getenv("RINGWALL_BENIGN")) {
		if skip, ok := strings.CutPrefix(f, "!"); ok {
			without = append(without, skip)
		} else {
			roots = append(roots, f)
		}
	}
	if len(roots) == 0 {
		t.Skip("RINGWALL_BENIGN is not set: no folders of benign files to judge")
	}
	j := mustNew(t, Config{Root: t.TempDir()})
	type tally struct {
		bytes  int64
		took   time.Duration
		n, hit int
	}
	kinds := map[string]*tally{}
	var times []time.Duration
	var all tally
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if slices.Contains(without, path) {
				return fs.SkipDir
			}
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			data, err := readHead(path, j.cfg.MaxScan)
			if err != nil {
				t.Logf("not read: %v", err)
				return nil
			}
			r := j.Bytes(context.Background(), path, data)
			took := r.Timings[len(r.Timings)-1].Took // light alone
			k := kinds[r.Kind]
			if k == nil {
				k = &tally{}
				kinds[r.Kind] = k
			}
			for _, c := range []*tally{k, &all} {
				c.n, c.bytes, c.took = c.n+1, c.bytes+int64(len(data)), c.took+took
				if len(r.Evidence) > 0 {
					c.hit++
				}
			}
			times = append(times, took)
			if r.Colour == verdict.Colour_BLACK {
				t.Errorf("%s (%s): %s %s", path, r.Kind, r.Evidence[0].What, r.Evidence[0].Where)
			} else if len(r.Evidence) > 0 {
				t.Logf("grey %.2f %s (%s): %s %s", r.Score, path, r.Kind, r.Evidence[0].What, r.Evidence[0].Where)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(times)
	for name, k := range kinds {
		t.Logf("%-12s %7d files, %5d with evidence, %8.1f MB, %6.1f MB/s", name, k.n, k.hit, float64(k.bytes)/1e6, float64(k.bytes)/1e6/k.took.Seconds())
	}
	t.Logf("all: %d files, %d with evidence, %.1f MB/s, p50 %v, p99 %v", all.n, all.hit, float64(all.bytes)/1e6/all.took.Seconds(), times[len(times)/2], times[len(times)*99/100])
}

func readHead(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}
