// SPDX-License-Identifier: Apache-2.0

package pcap

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ringwall/ringwall/wire/internal/capture"
)

var frames = [][]byte{bytes.Repeat([]byte("a"), 60), bytes.Repeat([]byte("b"), 1500), bytes.Repeat([]byte("c"), 61)}

func classic(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	w := pcapgo.NewWriterNanos(&out)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(100, int64(i)), CaptureLength: len(f), Length: len(f) + 5}, f); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// ng has two interfaces of different link types.
func ng(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pcapgo.NewNgWriter(&out, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.AddInterface(pcapgo.NgInterface{LinkType: layers.LinkTypeLinuxSLL, Name: "any", TimestampResolution: 9})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		ci := gopacket.CaptureInfo{Timestamp: time.Unix(100, int64(i)), CaptureLength: len(f), Length: len(f) + 5, InterfaceIndex: i % 2 * second}
		if err := w.WritePacket(ci, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// drain reads all and copies.
func drain(b []byte) (got []Packet, err error) {
	r, err := NewReader("x.pcap", bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	for {
		p, err := r.Next()
		if err != nil {
			if _, again := r.Next(); again != err {
				return got, errors.New("a second Next says otherwise")
			}
			return got, err
		}
		p.Data = bytes.Clone(p.Data)
		got = append(got, p)
	}
}

func TestFormats(t *testing.T) {
	for name, image := range map[string][]byte{"pcap": classic(t), "pcapng": ng(t), "pcap.gz": zipped(classic(t)), "pcapng.gz": zipped(ng(t))} {
		got, err := drain(image)
		if err != io.EOF || len(got) != len(frames) {
			t.Errorf("%s: %d packets, %v", name, len(got), err)
			continue
		}
		for i, p := range got {
			link := 1
			if strings.HasPrefix(name, "pcapng") && i%2 == 1 {
				link = 113
			}
			if !bytes.Equal(p.Data, frames[i]) || p.Link != link || p.Length != len(frames[i])+5 || p.WallNs != 100e9+int64(i) {
				t.Errorf("%s: packet %d: link %d, length %d, time %d", name, i, p.Link, p.Length, p.WallNs)
			}
		}
	}
}

func TestTruncatedKeepsWhatWasGood(t *testing.T) {
	image := classic(t)
	second := int64(24 + 16 + 60)
	for _, cut := range []int64{second + 1, second + 16, second + 17, second + 16 + 1499} {
		got, err := drain(image[:cut])
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, ErrTruncated) || e.Offset != second || e.Packet != 1 || len(got) != 1 || !strings.Contains(err.Error(), "x.pcap") {
			t.Errorf("cut at %d: %d packets, %v", cut, len(got), err)
		}
	}
	if got, err := drain(image[:second]); err != io.EOF || len(got) != 1 {
		t.Errorf("cut between packets: %d, %v", len(got), err)
	}
	if got, err := drain(ng(t)[:len(ng(t))-30]); !errors.Is(err, ErrTruncated) || len(got) != 2 {
		t.Errorf("pcapng: %d, %v", len(got), err)
	}
	if got, err := drain(zipped(image)[:70]); !errors.Is(err, ErrTruncated) || len(got) > 3 {
		t.Errorf("gzip: %d, %v", len(got), err)
	}
}

func TestLiesAndOthers(t *testing.T) {
	lie := bytes.Clone(classic(t))
	binary.LittleEndian.PutUint32(lie[24+8:], 0xfffffff0) // length of the first packet
	if got, err := drain(lie); len(got) != 0 || !errors.Is(err, ErrDamaged) {
		t.Errorf("a lie: %d, %v", len(got), err)
	}
	for _, b := range [][]byte{nil, {1}, []byte("GIF89a, no capture"), []byte("\x1f\x8bxx"), []byte("\n\r\r\nxx")} {
		if _, err := drain(b); !errors.Is(err, ErrNotCapture) {
			t.Errorf("%q: %v", b, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none.pcap")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestRealCaptures(t *testing.T) {
	ends := map[string]int{}
	for name, image := range capture.Files(t, capture.Data(t, "network/pcaps.tar.zst"), "zeek/", "ja4/", "suricata/", "mercury/") {
		if ext := filepath.Ext(name); ext == ".yaml" || ext == ".fp" || ext == ".json" {
			continue
		}
		switch got, err := drain(image); {
		case err == io.EOF:
			ends["whole"]++
		case errors.Is(err, ErrTruncated):
			ends["truncated"]++
		default:
			t.Logf("%s: %d packets, %v", name, len(got), err)
			ends["refused"]++
		}
	}
	t.Log(ends)
	if ends["whole"] < 1000 {
		t.Errorf("most captures are whole: %v", ends)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(classic(f))
	f.Add(ng(f))
	f.Add(zipped(classic(f)))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := drain(b)
		if err == nil {
			t.Fatal("no end")
		}
		var total int
		for _, p := range got {
			if total += len(p.Data); p.Length < len(p.Data) {
				t.Fatalf("%+v", p)
			}
		}
		if len(b) > 2 && string(b[:2]) != "\x1f\x8b" && total > len(b) {
			t.Fatalf("%d bytes of packets from %d", total, len(b))
		}
	})
}
