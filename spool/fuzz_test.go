// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringwall/ringwall/identity"
)

// FuzzSegment opens a spool on a segment of any bytes: it never panics, what it gives
// is what the bytes say, and a second opening finds nothing torn.
func FuzzSegment(f *testing.F) {
	head := encodeHeader(identity.Bulk, 5, 1, time.Unix(0, 0))
	f.Add(head)
	f.Add(appendRecord(appendRecord(head, event(1)), event(2)))
	f.Add(appendRecord(appendRecord(head, event(1)), event(2))[:70])
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		os.Mkdir(filepath.Join(dir, "bulk"), 0o700)
		path := filepath.Join(dir, "bulk", "0000000000000005-0000000000000001.seg")
		os.WriteFile(path, data, 0o600)
		s, err := Open(Config{Dir: dir})
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		read := func(s *Spool) (all []byte) {
			r := s.Reader(identity.Bulk)
			defer r.Close()
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			for {
				_, _, events, err := r.Next(ctx, 3, 100)
				if err != nil {
					return all
				}
				for _, e := range events {
					all = appendRecord(all, e)
				}
			}
		}
		got := read(s)
		if len(got) > 0 && !bytes.HasPrefix(data[headerBytes:], got) {
			t.Fatalf("gave %q, which the file does not say", got)
		}
		s.Close()
		s, err = Open(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if l := s.Losses(); len(l) > 0 {
			t.Fatalf("torn again: %+v", l)
		}
		if again := read(s); !bytes.Equal(got, again) {
			t.Fatal("a second reading differs")
		}
	})
}
