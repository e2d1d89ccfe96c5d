// SPDX-License-Identifier: Apache-2.0

package exposure

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

func login(from, user string, ok bool, after time.Duration) *event.Event {
	outcome := event.Authentication_FAILURE
	if ok {
		outcome = event.Authentication_SUCCESS
	}
	flow := entity.NewFlow(netip.MustParseAddrPort(from), netip.MustParseAddrPort("10.0.0.2:22"), 6)
	return &event.Event{Host: "web", Epoch: 2, Seq: uint64(after), WallNs: start.Add(after).UnixNano(),
		Payload: &event.Event_Auth{Auth: &event.Authentication{Outcome: outcome, User: user, Service: "sshd", Flow: flow}}}
}

func TestGuessing(t *testing.T) {
	names := []string{"root", "admin", "ops"}
	type try struct {
		user string
		ok   bool
	}
	repeat := func(n int, users ...string) (out []try) {
		for i := range n {
			out = append(out, try{users[i%len(users)], false})
		}
		return out
	}
	for _, c := range []struct {
		name  string
		tries []try
		every time.Duration
		want  []verdict.Colour
	}{
		{"mistyped twice, then right", append(repeat(2, "ops"), try{"ops", true}), time.Second, nil},
		{"mistyped five times", repeat(5, "ops"), time.Second, nil},
		{"a job with an old password", repeat(20, "backup"), 20 * time.Second, []verdict.Colour{verdict.Colour_GREY}},
		{"slow tries, each alone", repeat(20, names...), 2 * time.Minute, nil},
		{"many names", repeat(20, names...), time.Second, []verdict.Colour{verdict.Colour_GREY, verdict.Colour_BLACK}},
		{"very many tries", repeat(50, "ops"), time.Second, []verdict.Colour{verdict.Colour_GREY, verdict.Colour_BLACK}},
		{"the guess that was right", append(repeat(8, names...), try{"ops", true}), time.Second, []verdict.Colour{verdict.Colour_GREY, verdict.Colour_BLACK}},
	} {
		g := NewGuessing()
		var got []verdict.Colour
		for i, x := range c.tries {
			if f := g.See(login("203.0.113.9:4000", x.user, x.ok, time.Duration(i)*c.every)); f != nil {
				got = append(got, f.Colour)
				if x.ok && (f.Rule != "guessed" || f.Subjects[0].Kind != entity.Kind_LOGIN) {
					t.Errorf("%s: the log-in is told as %v", c.name, f)
				}
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: told %v, want %v", c.name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: told %v, want %v", c.name, got, c.want)
			}
		}
	}
}

func TestGuessingForgets(t *testing.T) {
	g := NewGuessing()
	for i := range 3 * sources {
		a := netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)})
		g.See(login(netip.AddrPortFrom(a, 4000).String(), "root", false, time.Duration(i)))
	}
	if len(g.seen) > sources {
		t.Errorf("%d addresses are kept", len(g.seen))
	}
}
