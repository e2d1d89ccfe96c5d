// SPDX-License-Identifier: Apache-2.0

// Package capture is for tests only: it turns the captures of the development
// data into in-order TCP directions, slowly and simply, so that the parsers of
// wire are judged without the code that feeds them in the product. It believes
// sequence numbers, the first copy of each byte wins, and a hole ends a
// direction. Worst trap: it holds whole captures in memory.
package capture

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/klauspost/compress/zstd"
)

// Direction is one way of one TCP connection.
type Direction struct {
	Src, Dst       string
	SrcPort, DstPt uint16
	Segments       [][]byte // in order, trimmed, without overlap
}

// Bytes joins the segments.
func (d *Direction) Bytes() []byte { return bytes.Join(d.Segments, nil) }

// Data gives a file of the folder that RINGWALL_DATA names, or skips.
func Data(tb testing.TB, name string) string {
	tb.Helper()
	root := os.Getenv("RINGWALL_DATA")
	if root == "" {
		tb.Skip("RINGWALL_DATA is not set: set it to the folder of development data to compare with recorded captures")
	}
	return filepath.Join(root, name)
}

// Files reads the members of a .tar.zst whose name has one of the prefixes.
func Files(tb testing.TB, archive string, prefixes ...string) map[string][]byte {
	tb.Helper()
	tr := tar.NewReader(open(tb, archive))
	out := map[string][]byte{}
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			tb.Fatal(err)
		}
		name := strings.TrimPrefix(h.Name, "./")
		if h.Typeflag != tar.TypeReg || !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		if out[name], err = io.ReadAll(tr); err != nil {
			tb.Fatal(err)
		}
	}
}

// Lines decodes a .jsonl.zst.
func Lines[T any](tb testing.TB, file string) []T {
	tb.Helper()
	dec := json.NewDecoder(open(tb, file))
	var out []T
	for {
		var v T
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			tb.Fatal(err)
		}
		out = append(out, v)
	}
}

func open(tb testing.TB, file string) io.Reader {
	f, err := os.Open(file)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	z, err := zstd.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(z.Close)
	return z
}

type source interface {
	gopacket.PacketDataSource
	LinkType() layers.LinkType
}

// Packets walks the packets of a pcap or pcapng image; a damaged tail ends it.
func Packets(image []byte, visit func(gopacket.Packet)) {
	var src source
	r, err := pcapgo.NewReader(bytes.NewReader(image))
	if err == nil {
		src = r
	} else if ng, err := pcapgo.NewNgReader(bytes.NewReader(image), pcapgo.DefaultNgReaderOptions); err == nil {
		src = ng
	} else {
		return
	}
	for {
		data, _, err := src.ReadPacketData()
		if err != nil {
			return
		}
		link := src.LinkType()
		if link == 12 || link == 14 || link == 101 || link == 228 { // raw IP in its four numbers
			link = layers.LinkTypeRaw
		}
		visit(gopacket.NewPacket(data, link, gopacket.DecodeOptions{NoCopy: true}))
	}
}

type segment struct {
	seq  uint32
	data []byte
}

type key struct {
	src, dst string
	sp, dp   uint16
}

type half struct {
	key  key
	isn  uint32 // of the SYN, else of the lowest segment
	syn  bool
	segs []segment
}

// Directions gives every TCP direction with payload, in order of appearance.
func Directions(image []byte) []Direction {
	open := map[key]*half{}
	var all []*half
	Packets(image, func(p gopacket.Packet) {
		var src, dst string
		for _, l := range p.Layers() {
			switch v := l.(type) {
			case gopacket.NetworkLayer:
				src, dst = v.NetworkFlow().Src().String(), v.NetworkFlow().Dst().String()
			case *layers.TCP:
				k := key{src, dst, uint16(v.SrcPort), uint16(v.DstPort)}
				h := open[k]
				if h == nil || v.SYN && (!h.syn || h.isn != v.Seq+1) && len(h.segs) > 0 {
					h = &half{key: k}
					open[k] = h
					all = append(all, h)
				}
				seq := v.Seq
				if v.SYN {
					seq++
					h.isn, h.syn = seq, true
				}
				if len(v.Payload) > 0 {
					h.segs = append(h.segs, segment{seq, bytes.Clone(v.Payload)})
				}
			}
		}
	})
	var out []Direction
	for _, h := range all {
		if len(h.segs) > 0 {
			out = append(out, Direction{h.key.src, h.key.dst, h.key.sp, h.key.dp, h.ordered()})
		}
	}
	return out
}

func (h *half) ordered() [][]byte {
	slices.SortStableFunc(h.segs, func(a, b segment) int { return int(int32(a.seq - b.seq)) })
	next := h.segs[0].seq
	if h.syn {
		next = h.isn
	}
	var out [][]byte
	for _, s := range h.segs {
		off := int32(next - s.seq)
		if off < 0 {
			return out // hole
		}
		if int(off) < len(s.data) {
			out = append(out, s.data[off:])
			next = s.seq + uint32(len(s.data))
		}
	}
	return out
}
