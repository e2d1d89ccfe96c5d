// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/wire/pcap"
)

// A file that breaks off tells what came before, and where it broke.
func TestReplayOfATruncatedFile(t *testing.T) {
	s := run(t, "open 192.0.2.1:40000 198.51.100.2:80\n> \"GET /good HTTP/1.1\\r\\nHost: s\\r\\n\\r\\n\"\n< \"HTTP/1.1 200 OK\\r\\n\\r\\n\"")
	file := filepath.Join(t.TempDir(), "cut.pcap")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := pcapgo.NewWriterNanos(f)
	if err := w.WriteFileHeader(65535, layers.LinkTypeRaw); err != nil {
		t.Fatal(err)
	}
	for _, p := range s.packets {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(0, p.WallNs), CaptureLength: len(p.Data), Length: p.Length}, p.Data); err != nil {
			t.Fatal(err)
		}
	}
	st, err := f.Stat()
	if err := errors.Join(err, f.Truncate(st.Size()-3), f.Close()); err != nil {
		t.Fatal(err)
	}
	var events []*event.Event
	opt := Options{Redact: redact, Emit: func(ev *event.Event) { events = append(events, ev) }}
	err = Replay(context.Background(), file, opt)
	var where *pcap.Error
	if !errors.As(err, &where) || where.File != file || !errors.Is(err, pcap.ErrTruncated) || where.Packet != uint64(len(s.packets)-1) {
		t.Errorf("%v", err)
	}
	if len(events) != 3 || !isRequest(events[1]) || events[1].WallNs != s.packets[3].WallNs {
		t.Errorf("%d events", len(events))
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := Replay(ctx, file, opt); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := Replay(context.Background(), file, Options{}); err == nil {
		t.Error("no Emit, and no complaint")
	}
	if err := Replay(context.Background(), file+"x", opt); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestConfigSaysWhatWouldDo(t *testing.T) {
	good := DefaultConfig()
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Config){
		"ring": func(c *Config) { c.Ring = 1 }, "snaplen": func(c *Config) { c.Snaplen = 1 << 20 }, "memory": func(c *Config) { c.Memory = 0 },
		"pattern": func(c *Config) { c.Interfaces = []string{"eth["} }, "netns": func(c *Config) { c.Netns = "web" }, "rate": func(c *Config) { c.FlowRate = 0 },
	} {
		c := DefaultConfig()
		if spoil(&c); c.Validate() == nil {
			t.Errorf("%s: no complaint", name)
		}
	}
}
