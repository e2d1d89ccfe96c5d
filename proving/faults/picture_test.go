// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/proving/rerun"
)

// picture asks for an incident's attack graph as a program does, over the socket.
func picture(t *testing.T, b *brainProc, id string) (p brain.Picture) {
	t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(b.data, "ringwall.sock"))
	}
	tr := &http.Transport{DialContext: dial}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Get("http://ringwall/v1/incidents/" + id + "/graph")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("graph of %s: %s, %v", id, res.Status, err)
	}
	return p
}

// TestPicture: the attack graph of the recorded intrusion leads from the upload to the
// shell and on, and stays when the graph it was drawn from has forgotten.
func TestPicture(t *testing.T) {
	host, events := recorded(t, time.Now())
	b := newBrain(t, "policy: {stage: shadow}")
	f := rerun.New(1000)
	f.Add(events...)
	publish(t, b.join(t, "default", host), f)
	eventually(t, "everything stored", func() bool { return f.Left() == 0 })
	settle(t, b)
	id := incidents(t, b, "default")[0].ID
	var p brain.Picture
	eventually(t, "a picture from the entry to the shell", func() bool {
		p = picture(t, b, id)
		i := slices.IndexFunc(p.Nodes, func(n brain.PictureNode) bool { return n.Entry })
		return i >= 0 && p.Nodes[i].Kind == "request" && p.Nodes[i].Facts["method"] == "POST" && p.Nodes[i].Depth == 0 &&
			slices.ContainsFunc(p.Nodes, func(n brain.PictureNode) bool {
				return n.Kind == "process" && n.Facts["exe"] == "/usr/bin/bash" && n.Depth > 1
			})
	})
	known := map[string]bool{}
	found := 0
	for _, n := range p.Nodes {
		known[n.ID] = true
		found += len(n.Findings)
	}
	for _, e := range p.Edges {
		if !known[e.From] || !known[e.To] || e.Deed == "" {
			t.Errorf("edge %+v leads nowhere", e)
		}
	}
	if found == 0 || p.Cut != 0 {
		t.Errorf("%d findings stand in the picture, %d nodes are cut", found, p.Cut)
	}
	b.stop(t)
	b.configure(t, "policy: {stage: shadow}", "warm: 1ns") // the new life's graph knows nothing
	b.start(t)
	if again := picture(t, b, id); len(again.Nodes) != len(p.Nodes) || len(again.Edges) != len(p.Edges) {
		t.Errorf("after forgetting: %d nodes, %d edges; before: %d, %d", len(again.Nodes), len(again.Edges), len(p.Nodes), len(p.Edges))
	}
}
