// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// range.md §7: six processes that make and remove files blinded a sensor, and the chain
// from request to command fell apart. Here every command is tied to its request all the
// same, by the hooks of today and by the fall-backs, and what was capped is told.
func TestStormBreaksNoChain(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		t.Run(fmt.Sprintf("legacy %v", legacy), func(t *testing.T) {
			base, root := web(t, false)
			must(t, os.WriteFile(filepath.Join(root, "run.php"), []byte(`<?php http_response_code(203); system("/bin/echo ".escapeshellarg($_GET["c"]));`), 0o644))
			s, rec := start(t, func(c *Config) { c.Legacy, c.BulkRing, c.BulkPerSec = legacy, 1<<20, 64 })
			dir := t.TempDir()
			for i := range 6 {
				storm := exec.Command("python3", "-c", fmt.Sprintf("import os\nwhile True:\n for i in range(100):\n  open('%d-%%d' %% i, 'w').close()\n for i in range(100): os.unlink('%d-%%d' %% i)", i, i))
				storm.Dir = dir
				if err := storm.Start(); err != nil {
					t.Skip("needs python3: ", err)
				}
				defer func() { _ = storm.Process.Kill(); _ = storm.Wait() }()
			}
			for end := time.Now().Add(20 * time.Second); s.Stats()["file"].Capped < 200; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("no storm: %+v", s.Stats()["file"])
				}
			}
			const n = 24
			for i := range n {
				res, err := http.Get(fmt.Sprintf("%s/run.php?c=storm-%d", base, i))
				must(t, err)
				_, _ = io.ReadAll(res.Body)
				res.Body.Close()
			}
			right := 0
			for i := range n {
				right += chain(t, rec, fmt.Sprintf("storm-%d", i), root, false)
			}
			st := s.Stats()
			for _, class := range []string{"process", "request", "connection", "channel"} {
				if st[class].Lost+st[class].Capped > 0 {
					t.Errorf("%s: %+v", class, st[class])
				}
			}
			t.Logf("%d of %d tied, files %+v", right, n, st["file"])
			if right != n {
				t.Errorf("%d of %d commands tied to their request", right, n)
			}
		})
	}
}
