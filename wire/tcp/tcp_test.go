// SPDX-License-Identifier: Apache-2.0

package tcp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// show writes chunks as text: a gap as [n].
func show(cs []Chunk) string {
	var b strings.Builder
	for _, c := range cs {
		if c.Gap > 0 {
			fmt.Fprintf(&b, "[%d]", c.Gap)
		}
		b.Write(c.Bytes)
	}
	return b.String()
}

func TestOrder(t *testing.T) {
	var s Stream
	start := uint32(0xfffffff0) // the numbers wrap in between
	s.Begin(start - 1)
	feed := func(at uint32, text, want string) {
		t.Helper()
		if got := show(s.Feed(start+at, []byte(text), len(text))); got != want {
			t.Errorf("at %d %q: %q, want %q", at, text, got, want)
		}
	}
	feed(0, "abcdefgh", "abcdefgh")
	feed(0, "abcdefgh", "")
	feed(16, "qrstuvwx", "")
	feed(24, "yz", "")
	if s.Held() != 10 {
		t.Error(s.Held())
	}
	feed(8, "ijklmnop", "ijklmnopqrstuvwxyz")
	if s.Oddities() != 0 || s.Held() != 0 {
		t.Errorf("ordinary reordering is no oddity: %b, %d held", s.Oddities(), s.Held())
	}
	feed(20, "....yz12", "12")
	if s.Oddities() != Overlap {
		t.Errorf("%b", s.Oddities())
	}
}

func TestFirstCopyWins(t *testing.T) {
	var s Stream
	s.Begin(99)
	s.Feed(104, []byte("EFGH"), 4)
	if got := show(s.Feed(100, []byte("abcdefghij"), 10)); got != "abcdEFGHij" || s.Oddities() != Overlap|Conflict {
		t.Errorf("%q %b", got, s.Oddities())
	}
	var same Stream
	same.Begin(99)
	same.Feed(104, []byte("efgh"), 4)
	if got := show(same.Feed(100, []byte("abcdefghij"), 10)); got != "abcdefghij" || same.Oddities() != Overlap {
		t.Errorf("%q %b", got, same.Oddities())
	}
}

func TestBounds(t *testing.T) {
	var s Stream
	s.Begin(0)
	for i := range MaxSegments {
		if got := show(s.Feed(uint32(11+20*i), []byte("x"), 1)); got != "" {
			t.Fatal(got)
		}
	}
	if got := show(s.Feed(500, []byte("y"), 1)); got != "[10]x" {
		t.Errorf("one piece too many: %q", got)
	}
	big := bytes.Repeat([]byte("z"), MaxHeld)
	if s.Feed(1000, big, len(big)); s.Held() > MaxHeld {
		t.Errorf("%d held", s.Held())
	}
	if got := show(s.Flush()); !strings.HasSuffix(got, "z") || s.Held() != 0 {
		t.Errorf("%.40q", got)
	}
	if s.Feed(s.next+window+1, []byte("w"), 1); s.Oddities()&Wild == 0 {
		t.Error("beyond the window")
	}
}

func TestAcknowledgedButNeverSeen(t *testing.T) {
	var s Stream
	s.Begin(99)
	if got := show(s.Acked(100)); got != "" {
		t.Error(got)
	}
	s.Feed(105, []byte("fgh"), 3)
	if got := show(s.Acked(108)); got != "[5]fgh" {
		t.Error(got)
	}
	s.Finish(108, 2)
	s.Feed(108, []byte("ij"), 2)
	if got := show(s.Acked(111)); got != "" || s.Oddities() != Gap {
		t.Errorf("the FIN is no byte: %q %b", got, s.Oddities())
	}
}

func TestCutByTheCapture(t *testing.T) {
	var s Stream
	if got := show(s.Feed(7, []byte("abc"), 10)); got != "abc[7]" {
		t.Error(got)
	}
	s.Feed(27, []byte("xy"), 5)
	if got := show(s.Feed(17, []byte("0123456789"), 10)); got != "0123456789xy[3]" {
		t.Error(got)
	}
}

// twin is the slow one: of each byte the first copy that came while it was still due.
type twin struct {
	at    int
	first []byte
	has   []bool
	early int // segments and bytes that came early since all was in order
	bytes int
}

func (w *twin) feed(at int, data []byte) {
	if at+len(data) <= w.at {
		return
	}
	for i, b := range data {
		if p := at + i; p >= w.at && !w.has[p] {
			w.first[p], w.has[p] = b, true
		}
	}
	if at > w.at {
		w.early++
		w.bytes += len(data)
	}
}

// check walks the chunks: every byte is its first copy, and no byte that was there is
// called missing.
func (w *twin) check(t *testing.T, cs []Chunk, mayGap bool) {
	t.Helper()
	for _, c := range cs {
		// A segment across k kept ones leaves up to k+1 pieces: three early ones, seven.
		if c.Gap > 0 && !mayGap && w.early <= 3 && w.bytes <= MaxHeld {
			t.Fatalf("gap of %d with %d early segments of %d bytes", c.Gap, w.early, w.bytes)
		}
		for range c.Gap {
			if w.has[w.at] {
				t.Fatalf("byte %d was there and is called missing", w.at)
			}
			w.at++
		}
		for _, b := range c.Bytes {
			if !w.has[w.at] || w.first[w.at] != b {
				t.Fatalf("byte %d: %q, the first copy was %q (seen %v)", w.at, b, w.first[w.at], w.has[w.at])
			}
			w.at++
		}
	}
}

// play runs a script of seven-byte steps: position, length, value, and now and then an
// acknowledgement.
func play(t *testing.T, base uint32, script []byte) {
	const size = 80 << 10
	w := &twin{first: make([]byte, size+1<<16), has: make([]bool, size+1<<16)}
	var s Stream
	s.Begin(base - 1)
	for len(script) >= 6 {
		at := int(script[0])<<8 | int(script[1])
		n := int(script[2])<<5 | int(script[3]&31)
		if script[5] > 250 {
			acked := s.Acked(base + uint32(at))
			w.check(t, acked, true)
			script = script[6:]
			continue
		}
		at = max(0, w.at-300+at%2000) // near where the stream stands
		if at+n >= size {
			return
		}
		data := bytes.Repeat(script[4:5], n)
		w.feed(at, data)
		w.check(t, s.Feed(base+uint32(at), data, n), false)
		if s.Held() > MaxHeld || len(s.kept) > MaxSegments {
			t.Fatalf("%d bytes in %d segments", s.Held(), len(s.kept))
		}
		if len(s.kept) == 0 {
			w.early, w.bytes = 0, 0
		}
		for p := w.at; len(s.kept) == 0 && p < min(w.at+1, size); p++ {
			if w.has[p] {
				t.Fatalf("byte %d was there and is not given out", p)
			}
		}
		script = script[6:]
	}
	w.check(t, s.Flush(), true)
	for p := w.at; p < size; p++ {
		if w.has[p] {
			t.Fatalf("byte %d was there and is not given out at the end", p)
		}
	}
}

func TestAgainstSlowTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		script := make([]byte, 6*(1+r.IntN(60)))
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		for i := 2; i < len(script); i += 6 {
			script[i] %= 8
		}
		play(t, r.Uint32(), script)
	}
}

func FuzzStream(f *testing.F) {
	f.Add(uint32(0xfffffff0), []byte("\x01\x2c\x00\x05a\x00\x01\x36\x00\x05b\x00\x01\x31\x00\x09c\x00"))
	f.Fuzz(play)
}

func BenchmarkFeed(b *testing.B) {
	data := make([]byte, 1400)
	var s Stream
	s.Begin(0)
	seq := uint32(1)
	b.ReportAllocs()
	for b.Loop() {
		s.Feed(seq, data, len(data))
		seq += 1400
	}
}
