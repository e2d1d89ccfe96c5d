// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/klauspost/compress/s2"
)

func TestBatchThereAndBack(t *testing.T) {
	many := make([][]byte, MaxBatchEvents)
	for i := range many {
		many[i] = bytes.Repeat([]byte{byte(i)}, i%300+1)
	}
	for _, b := range []Batch{
		{Epoch: 2, FirstSeq: 1, Events: [][]byte{[]byte("x")}},
		{Epoch: math.MaxUint64, FirstSeq: math.MaxInt64, Skipped: 7, Events: [][]byte{{}, []byte("y")}},
		{Epoch: 3, FirstSeq: 9, Skipped: 8, Events: many},
		{Epoch: 4, FirstSeq: 1, Events: [][]byte{make([]byte, MaxBatchBytes)}},
	} {
		raw, err := b.Encode([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeBatch(raw[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		if got.Epoch != b.Epoch || got.FirstSeq != b.FirstSeq || got.Skipped != b.Skipped || len(got.Events) != len(b.Events) {
			t.Fatalf("got %+v", got)
		}
		for i := range b.Events {
			if !bytes.Equal(got.Events[i], b.Events[i]) {
				t.Fatalf("event %d differs", i)
			}
		}
	}
	for _, b := range []Batch{{FirstSeq: 1}, {FirstSeq: 1, Events: make([][]byte, MaxBatchEvents+1)}, {FirstSeq: 1, Events: [][]byte{make([]byte, MaxBatchBytes+1)}}} {
		if _, err := b.Encode(nil); err == nil {
			t.Errorf("encodes %d events", len(b.Events))
		}
	}
}

func TestBatchRefusals(t *testing.T) {
	bomb := s2.Encode(nil, make([]byte, 64<<20))
	for name, raw := range map[string][]byte{
		"nothing":            nil,
		"another version":    {2, 0, 1, 1, 0, 1, 1, 'x'},
		"unknown flag":       {1, 2, 1, 1, 0, 1, 1, 'x'},
		"no events":          {1, 0, 1, 1, 0, 0},
		"too many events":    {1, 0, 1, 1, 0, 0xff, 0x7f, 1, 'x'},
		"sequence 0":         {1, 0, 1, 0, 0, 1, 1, 'x'},
		"more skipped":       {1, 0, 1, 1, 1, 1, 1, 'x'},
		"event longer":       {1, 0, 1, 1, 0, 1, 2, 'x'},
		"bytes behind":       {1, 0, 1, 1, 0, 1, 1, 'x', 'y'},
		"endless number":     {1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"unpacks to 64 MiB":  append([]byte{1, 1, 1, 1, 0, 1}, bomb...),
		"does not unpack":    {1, 1, 1, 1, 0, 1, 5, 0xff, 0xff},
		"states a long body": {1, 1, 1, 1, 0, 1, 0xff, 0xff, 0xff, 0x0f, 0},
	} {
		if _, err := DecodeBatch(raw); !errors.Is(err, ErrBatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzBatch(f *testing.F) {
	for _, b := range []Batch{{Epoch: 2, FirstSeq: 1, Events: [][]byte{[]byte("x")}}, {Epoch: 3, FirstSeq: 9, Skipped: 8, Events: [][]byte{make([]byte, 1000), []byte("y")}}} {
		raw, _ := b.Encode(nil)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := DecodeBatch(raw)
		if err != nil {
			return
		}
		size := 0
		for _, e := range b.Events {
			size += len(e)
		}
		if size > MaxBatchBytes {
			return // the wire form admits what framing leaves; Encode does not
		}
		again, err := b.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := DecodeBatch(again)
		if err != nil || c.Last() != b.Last() || c.Skipped != b.Skipped {
			t.Fatalf("%+v became %+v, %v", b, c, err)
		}
	})
}
