// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/bus"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/proving/rerun"
	"github.com/ringwall/ringwall/verdict"
)

// as gives the recorded events as another tenant's host of the same name, addresses,
// pids and ids would tell them.
func as(t *testing.T, tenant, mark string, events [][]byte) [][]byte {
	t.Helper()
	var out [][]byte
	for _, raw := range events {
		ev := &event.Event{}
		if err := ev.UnmarshalVT(raw); err != nil {
			t.Fatal(err)
		}
		ev.Tenant, ev.BootId = tenant, ev.BootId+mark
		if f := ev.GetFinding(); f != nil {
			for _, e := range f.Events {
				e.Tenant = tenant
			}
			f.SetID()
		}
		out = append(out, mustMarshal(t, ev))
	}
	return out
}

// findings of a tenant by id.
func findings(t *testing.T, b *brainProc, tenant string) map[string]*api.Finding {
	t.Helper()
	out := map[string]*api.Finding{}
	for line := range bytes.Lines(ask(t, b.data, "findings", "--grey", "--tenant", tenant)) {
		f := &api.Finding{}
		if err := json.Unmarshal(line, f); err != nil {
			t.Fatal(err)
		}
		out[f.ID] = f
	}
	return out
}

func incidents(t *testing.T, b *brainProc, tenant string) (out []*api.Incident) {
	t.Helper()
	for line := range bytes.Lines(ask(t, b.data, "incidents", "--tenant", tenant)) {
		inc := &api.Incident{}
		if err := json.Unmarshal(line, inc); err != nil {
			t.Fatal(err)
		}
		out = append(out, inc)
	}
	return out
}

// TestTenants: two tenants whose hosts have the same name, addresses and pids, at the
// same time. One is attacked, the other sees the same with the attack's first half
// only; nothing of either is the other's.
func TestTenants(t *testing.T) {
	host, events := recorded(t, time.Now())
	b := newBrain(t, "tenants: [default, red, blue]", "policy: {stage: shadow}")
	red, blue := rerun.New(1000), rerun.New(1000) // the same ids but for the tenant
	red.Add(as(t, "red", "r", events)...)
	blue.Add(as(t, "blue", "b", events[:len(events)/8])...) // before the upload
	publish(t, b.join(t, "red", host), red)
	publish(t, b.join(t, "blue", host), blue)
	eventually(t, "everything stored", func() bool { return red.Left()+blue.Left() == 0 })
	eventually(t, "red's incident", func() bool { return len(incidents(t, b, "red")) == 1 && len(findings(t, b, "red")) > 10 })

	if n := len(incidents(t, b, "blue")) + len(incidents(t, b, "default")); n != 0 {
		t.Errorf("%d incidents of tenants that were not attacked", n)
	}
	mine, theirs := findings(t, b, "red"), findings(t, b, "blue")
	for id, f := range theirs {
		if mine[id] != nil {
			t.Errorf("finding %s is of both", id)
		}
		for _, e := range f.Events {
			if !strings.HasPrefix(e, "blue/") {
				t.Errorf("blue's finding %s rests on %s", id, e)
			}
		}
	}
	for id, f := range mine {
		if slices.ContainsFunc(f.Events, func(e string) bool { return strings.HasPrefix(e, "blue/") }) {
			t.Errorf("red's finding %s rests on blue's event", id)
		}
	}
	inc := incidents(t, b, "red")[0]
	for _, kind := range []string{"incidents", "trace"} {
		if err := try(b.data, kind, inc.ID, "--tenant", "blue"); err == nil {
			t.Errorf("%s: blue is shown red's incident", kind)
		}
	}

	// Hunts: each sees its own, and the other's path is not there.
	for tenant, want := range map[string]int{"red": len(events), "blue": len(events) / 8, "default": 0} {
		if n := number(t, b.data, tenant, "select count(*) from events where host = '"+host+"'"); n != want {
			t.Errorf("%s hunts %d events, want %d", tenant, n, want)
		}
	}
	for _, sql := range []string{
		"select count(*) from read_parquet('" + b.data + "/archive/red/segments/events/*.parquet')", "select count(*) from read_parquet('../red/segments/events/*.parquet')",
	} {
		if err := try(b.data, "hunt", sql, "--tenant", "blue"); err == nil {
			t.Errorf("blue hunts in red's segments: %s", sql)
		}
	}

	// What is known of an address is known to the tenant that was attacked from it.
	attacker := inc.Entry.Request.Flow.SrcIP
	known := func(tenant string) bool {
		return bytes.Contains(ask(t, b.data, "intel", "lookup", attacker, "--tenant", tenant), []byte(`"own"`))
	}
	if !known("red") || known("blue") {
		t.Errorf("the attacker's address is known to red: %v, to blue: %v", known("red"), known("blue"))
	}

	// Orders and actions.
	if red, blue := len(ask(t, b.data, "actions", "--tenant", "red")), len(ask(t, b.data, "actions", "--tenant", "blue")); red == 0 || blue != 0 {
		t.Errorf("%d bytes of red's actions, %d of blue's", red, blue)
	}
	if acts := documents[struct{ ID, Tenant string }](t, b.data, "actions", "--tenant", "red"); len(acts) > 0 {
		if err := try(b.data, "actions", "undo", acts[0].ID, "--tenant", "blue"); err == nil {
			t.Errorf("blue undoes red's action %s", acts[0].ID)
		}
	}
}

// TestEntityKeysOfTenants: the same private things of two tenants are two things.
func TestEntityKeysOfTenants(t *testing.T) {
	host, events := recorded(t, time.Now())
	b := newBrain(t, "tenants: [default, red, blue]")
	for _, tenant := range []string{"red", "blue"} {
		f := rerun.New(1000)
		f.Add(as(t, tenant, "", events)...) // to the very boot id the same
		publish(t, b.join(t, tenant, host), f)
		eventually(t, "everything stored", func() bool { return f.Left() == 0 })
	}
	keys := map[string]map[string]string{}
	for _, tenant := range []string{"red", "blue"} {
		eventually(t, "an incident", func() bool { return len(incidents(t, b, tenant)) == 1 })
		keys[tenant] = map[string]string{}
		var id string
		eventually(t, "a story with effects", func() bool {
			id = incidents(t, b, tenant)[0].ID
			story := document[api.Story](t, b.data, "trace", id, "--tenant", tenant)
			for _, h := range append(story.Path, story.Effects...) {
				keys[tenant][h.Key] = h.Kind + " " + h.Label
			}
			return len(story.Effects) > 3
		})
	}
	for k, what := range keys["red"] {
		if keys["blue"][k] != "" {
			t.Errorf("%s has one key in both tenants", what)
		}
	}
}

// connection is an agent's own, without the library's good manners.
func connection(t *testing.T, a *identity.Agent) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(a.Bus, nats.UserJWT(func() (string, error) { return a.Credentials.JWT, nil }, a.Credentials.Sign),
		nats.Secure(identity.PinnedTLS(a.Pins...)), nats.CustomInboxPrefix(identity.InboxPrefix(a.Host)), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// TestAgentsAmongEachOther: an agent can neither hear nor speak for another, of its own
// tenant or of the neighbour, and what it says in another's name is refused, counted
// and a finding.
func TestAgentsAmongEachOther(t *testing.T) {
	b := newBrain(t, "tenants: [default, red, blue]")
	a, victim, neighbour := b.join(t, "red", "a"), b.join(t, "red", "victim"), b.join(t, "blue", "victim")
	evil := connection(t, a)

	heard := make(chan string, 16)
	for _, subject := range []string{">", "orders.>", "orders.red.victim", "orders.blue.victim", "stored.red.victim", "stored.blue.victim", "events.>", "_INBOX.victim.>", "$SYS.>"} {
		_, _ = evil.Subscribe(subject, func(m *nats.Msg) { heard <- subject + " " + m.Subject })
	}
	for _, s := range []string{"orders.red.victim", "orders.blue.victim", "stored.red.victim"} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if m, err := evil.RequestWithContext(ctx, identity.LastSubject(s), nil); err == nil {
			t.Errorf("it reads %s: %q", s, m.Data)
		}
		cancel()
	}
	// The victims work, and are told what is stored; they get orders, if only to take all back.
	sv, sn := newSynth(t, victim, t.TempDir(), 0), newSynth(t, neighbour, t.TempDir(), 0)
	sv.emit(ran(7, time.Now().UnixNano(), "/bin/ours", "of red"))
	sn.emit(ran(7, time.Now().UnixNano(), "/bin/ours", "of blue"))
	sv.settled()
	sn.settled()
	for _, tenant := range []string{"red", "blue"} {
		if err := try(b.data, "off", "--tenant", tenant, "--keep-watching"); err != nil {
			t.Fatal(err)
		}
	}

	// Its words in another's name, on its own subject and on theirs.
	forged := func(tenant, host string) []byte {
		ev := ran(66, time.Now().UnixNano(), "/bin/forged", "by a")
		ev.Tenant, ev.Host, ev.Schema = tenant, host, event.Schema
		return mustMarshal(t, ev)
	}
	batch := func(epoch uint64, events ...[]byte) []byte {
		raw, err := (&bus.Batch{Epoch: epoch, FirstSeq: 1, Events: events}).Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for _, subject := range []string{"events.red.precious.victim", "events.blue.precious.victim", "events.3.red.precious.victim", "orders.red.victim", "stored.red.victim", "stored.red.a"} {
		_ = evil.Publish(subject, batch(2, forged("red", "victim")))
	}
	lying := &event.Event{Tenant: "red", Host: "a", WallNs: time.Now().UnixNano(), Schema: event.Schema, Payload: &event.Event_Finding{Finding: &verdict.Finding{
		Id: "f-forged", Host: "victim", Layer: "file", Stage: "light", Title: "forged", Score: 0.99, Colour: verdict.Colour_BLACK}}}
	honest := ran(8, time.Now().UnixNano(), "/bin/honest")
	honest.Tenant, honest.Host = "red", "a"
	if err := evil.Publish("events.red.precious.a", batch(4, forged("red", "victim"), mustMarshal(t, honest), forged("blue", "victim"), mustMarshal(t, lying), []byte("\xff\xffno event"))); err != nil {
		t.Fatal(err)
	}
	_ = evil.Publish("events.red.precious.a", []byte("no batch"))
	_ = evil.Flush()

	eventually(t, "the refusals counted", func() bool {
		c := document[brain.Status](t, b.data, "status").Counts
		return c["refused.foreign"] == 3 && c["refused.undecodable"] == 1 && c["refused.messages"] == 1
	})
	identity := func(tenant string) (told []*api.Finding) {
		for _, f := range findings(t, b, tenant) {
			if f.Layer == "behaviour" && f.Stage == "identity" {
				told = append(told, f)
			}
		}
		return told
	}
	eventually(t, "the finding", func() bool { return len(identity("red")) > 0 })
	told := identity("red")
	if len(told) != 1 || told[0].Host != "a" || told[0].Colour != "black" || !strings.Contains(fmt.Sprint(told[0].Evidence), "red/victim") {
		t.Errorf("findings %v; want one black, of host a, that names red/victim", told)
	}
	if n := number(t, b.data, "red", "select count(*) from events where exe = '/bin/honest' and kind = 'process.exec'"); n != 1 {
		t.Errorf("its honest event among the forged ones: %d", n)
	}
	for _, tenant := range []string{"red", "blue", "default"} {
		if n := number(t, b.data, tenant, "select count(*) from events where exe = '/bin/forged' or title = 'forged'"); n != 0 {
			t.Errorf("%d forged events in the archive of %s", n, tenant)
		}
	}
	if n := len(identity("blue")); n != 0 {
		t.Errorf("%d such findings in blue", n)
	}
	b.kill() // and a restart remembers, telling it no second time
	b.start(t)
	if got := identity("red"); len(got) != 1 {
		t.Errorf("%d findings after a restart, want 1", len(got))
	}
	if inc := incidents(t, b, "red"); len(inc) != 1 {
		t.Errorf("%d incidents of it, want 1", len(inc))
	}
	select {
	case what := <-heard:
		t.Errorf("it heard %s", what)
	default:
	}
	if raw, _ := json.Marshal(told); bytes.Contains(raw, a.Credentials.Seed) {
		t.Error("the finding shows a key")
	}
}
