// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/identity"
)

// senseless is an agent's configuration with every sensor off.
const senseless = "sensors: {kernel: off, packet: off, files: off, inventory: off, logs: off}\n"

// spooled reads what an agent, dead by now, had in its spool.
func spooled(t *testing.T, data string) (out []*event.Event) {
	t.Helper()
	readSpool(t, data, func(_ identity.Position, raw []byte) {
		ev := &event.Event{}
		if err := ev.UnmarshalVT(raw); err != nil {
			t.Fatal(err)
		}
		out = append(out, ev)
	})
	return out
}

// TestHostileBroker: the real agent on a broker that plays orders: replayed, expired,
// unsigned, forged, of another host and of another brain. It obeys the one that is its.
func TestHostileBroker(t *testing.T) {
	auth, other := authority(t, "brain"), authority(t, "other")
	_, self, data := victim(t, auth)
	run := func() *proc {
		p := start(t, nil, binaries.agent, "run", "--data", data)
		p.await(t, "watching victim")
		return p
	}
	p := run()

	js := jet(t, auth, self.Bus)
	play := func(orders ...[]byte) {
		t.Helper()
		var m []byte
		for _, o := range orders {
			m = append(binary.BigEndian.AppendUint32(m, uint32(len(o))), o...)
		}
		if _, err := js.Publish(t.Context(), "orders.red.victim", m); err != nil {
			t.Fatal(err)
		}
	}
	order := func(signer *identity.SigningKey, id, host string, issued time.Time, life time.Duration) []byte {
		t.Helper()
		o := action.Order{ID: id, Tenant: "red", Host: "victim", Kind: action.BlockAddress, Subject: &entity.Sighting{Kind: entity.Kind_ADDRESS, Text: "203.0.113.9"},
			Incident: "i-1", Reason: "test", Stage: action.Observe, Ordered: time.Now(), Deadline: time.Now().Add(time.Hour)}
		raw, err := json.Marshal(action.Command{Orders: []action.Order{o}, Who: "test"})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign(identity.KindOrder, identity.Target{Tenant: "red", Host: identity.Host(host)}, issued, life, raw)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	now := time.Now()
	good := order(auth.Signer(), "a-good", "victim", now, time.Hour)
	play(good)
	eventually(t, "the good order told", func() bool { return strings.Contains(p.said(), "watching") && hasAction(t, data, "a-good") })

	forged := append([]byte(nil), order(auth.Signer(), "a-forged", "victim", now, time.Hour)...)
	forged[len(forged)-70] ^= 1 // in the payload
	unsigned := order(auth.Signer(), "a-unsigned", "victim", now, time.Hour)
	for _, c := range []struct {
		what  string
		order []byte
		why   error
	}{
		{"expired", order(auth.Signer(), "a-expired", "victim", now.Add(-time.Hour), time.Minute), identity.ErrExpired},
		{"unsigned", unsigned[:len(unsigned)-64], identity.ErrUnsigned},
		{"forged", forged, identity.ErrSignature},
		{"another host's", order(auth.Signer(), "a-others", "neighbour", now, time.Hour), identity.ErrWrongTarget},
		{"another brain's", order(other.Signer(), "a-stranger", "victim", now, time.Hour), identity.ErrUnknownKey},
		{"from the future", order(auth.Signer(), "a-future", "victim", now.Add(time.Hour), time.Hour), identity.ErrNotYet},
		{"junk", []byte("junk"), identity.ErrMalformed},
	} {
		play(c.order)
		eventually(t, c.what+" is refused", func() bool { return strings.Contains(p.said(), c.why.Error()) })
	}
	play([]byte("another message between")) // else the bus would not give it twice
	play(good)
	eventually(t, "the replayed order refused", func() bool { return strings.Contains(p.said(), identity.ErrReplayed.Error()) })
	p.stop(t)

	// And over a restart: the memory of orders is on disk.
	p = run()
	eventually(t, "the order refused after a restart", func() bool { return strings.Contains(p.said(), identity.ErrReplayed.Error()) })
	p.kill()
	told := map[string]int{}
	degraded := false
	for _, ev := range spooled(t, data) {
		if a := ev.GetAction(); a != nil {
			told[a.Id]++
		}
		if s := ev.GetState(); s.GetComponent() == "orders" && s.State == "degraded" {
			degraded = true
		}
	}
	if len(told) != 1 || told["a-good"] != 1 {
		t.Errorf("actions told %v; want one record of a-good and nothing else", told)
	}
	if !degraded {
		t.Error("that foreign orders are played is not told as a state")
	}
}

// hasAction looks whether an agent that runs has written of an action.
func hasAction(t *testing.T, data, id string) bool {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(data, "respond", "actions.journal"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Contains(string(raw), id)
}
