// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/proving/rerun"
)

// asked is one question at the loopback door.
func asked(t *testing.T, address, path, token string, change func(*http.Request)) (int, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	if change != nil {
		change(q)
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

var stageLine = regexp.MustCompile(`(?m)^ringwall_stage_items_total\{layer="(\w+)",outcome="(\w+)",stage="(\w+)",tenant="(\w+)"\} (\S+)$`)

// counted reads the stage counters: tenant/layer/stage → outcome → items.
func counted(page string) map[string]map[string]float64 {
	out := map[string]map[string]float64{}
	for _, m := range stageLine.FindAllStringSubmatch(page, -1) {
		k := m[4] + "/" + m[1] + "/" + m[3]
		if out[k] == nil {
			out[k] = map[string]float64{}
		}
		out[k][m[2]], _ = strconv.ParseFloat(m[5], 64)
	}
	return out
}

// TestLoopbackDoor: `ringwall up` shows the counters of every stage of every layer to
// whoever has the token, and to no web page.
func TestLoopbackDoor(t *testing.T) {
	b := &brainProc{data: shortDir(t), listen: ports(t)}
	door, watched := ports(t), t.TempDir()
	sensors := senseless
	if os.Geteuid() == 0 {
		sensors = fmt.Sprintf("sensors: {kernel: off, packet: off, files: on, inventory: off, logs: off}\n  files: {roots: [%s]}\n", watched)
	}
	write(t, filepath.Join(b.data, "ringwall.yaml"), "metrics: "+door+"\nagent:\n  host: own\n  "+sensors+"brain:\n  listen: "+b.listen+"\n  policy: {stage: shadow}\n")
	b.proc = start(t, nil, binaries.ringwall, "up", "--data", b.data)
	b.await(t, "watching this host")
	raw, err := os.ReadFile(filepath.Join(b.data, "token"))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(b.data, "token")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("token file: %v, %v", info.Mode(), err)
	}
	token := strings.TrimSpace(string(raw))
	eventually(t, "the door open", func() bool { code, _ := asked(t, door, "/metrics", token, nil); return code == http.StatusOK })
	if code, body := asked(t, door, "/health", token, nil); code != http.StatusOK && code != http.StatusServiceUnavailable {
		t.Errorf("health: %d %s", code, body)
	}
	for what, change := range map[string]func(*http.Request){
		"no token":        func(q *http.Request) { q.Header.Del("Authorization") },
		"another token":   func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+strings.Repeat("x", len(token))) },
		"a foreign host":  func(q *http.Request) { q.Host = "evil.example" },
		"a foreign page":  func(q *http.Request) { q.Header.Set("Origin", "http://evil.example") },
		"a page of none":  func(q *http.Request) { q.Header.Set("Origin", "null") },
		"a rebound name":  func(q *http.Request) { q.Host = "127.0.0.1.evil.example" },
		"a host as login": func(q *http.Request) { q.Host = "127.0.0.1@evil.example" },
	} {
		for _, path := range []string{"/metrics", "/health"} {
			if code, body := asked(t, door, path, token, change); code == http.StatusOK {
				t.Errorf("%s gets %s: %.80q", what, path, body)
			}
		}
	}
	if code, _ := asked(t, door, "/metrics", token, func(q *http.Request) { q.Header.Set("Origin", "http://"+door) }); code != http.StatusOK {
		t.Errorf("its own origin: %d", code)
	}

	// The recorded intrusion moves the counters of the brain's stages.
	host, events := recorded(t, time.Now())
	f := rerun.New(1000)
	f.Add(events...)
	publish(t, b.join(t, "default", host), f)
	eventually(t, "everything stored", func() bool { return f.Left() == 0 })
	write(t, filepath.Join(watched, "page.php"), "<?php system($_GET['c']);")
	want := map[string][]string{ // what must have moved
		"default/network/ordinary": nil, "default/network/application": nil, "default/network/fingerprint": nil,
		"default/network/exposure": {"in", "white", "grey"}, "default/behaviour/sigma": {"in", "white", "grey"}, "default/behaviour/trace": {"in", "black", "grey"},
		"default/intel/risk": {"in", "grey"}, "default/intel/reputation": {"in", "grey"}, "default/file/known": nil, "default/file/light": nil,
	}
	if os.Geteuid() == 0 {
		want["default/network/intercept"] = nil
		want["default/file/known"], want["default/file/light"] = []string{"in", "grey"}, []string{"in", "black"}
	}
	var page string
	eventually(t, "the counters moved", func() bool {
		_, page = asked(t, door, "/metrics", token, nil)
		got := counted(page)
		for stage, moved := range want {
			for _, m := range moved {
				if got[stage][m] == 0 {
					return false
				}
			}
		}
		return true
	})
	got := counted(page)
	for stage := range want {
		for _, outcome := range []string{"in", "white", "black", "grey"} {
			if _, there := got[stage][outcome]; !there {
				t.Errorf("%s has no counter %q", stage, outcome)
			}
		}
		if n := got[stage]; n["in"] != n["white"]+n["black"]+n["grey"] {
			t.Errorf("%s: %v does not add up", stage, n)
		}
		_, name, _ := strings.Cut(stage, "/")
		layer, name, _ := strings.Cut(name, "/")
		for _, series := range []string{
			fmt.Sprintf(`ringwall_stage_seconds{layer=%q,quantile="0.99",stage=%q,tenant="default"} `, layer, name),
			fmt.Sprintf(`ringwall_stage_busy_seconds_total{layer=%q,stage=%q,tenant="default"} `, layer, name),
		} {
			if !strings.Contains(page, series) && name != "intercept" {
				t.Errorf("no %s", series)
			}
		}
	}
	b.stop(t)
}
