// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ringwall/ringwall/wire/ip"
	"github.com/ringwall/ringwall/wire/pcap"
)

// Replay reads a capture file ("-" for standard input) as if it passed now, as fast as
// it goes, and tells the same events in the same order each time. Of a file that breaks
// off everything before is told; the error then wraps a *pcap.Error.
func Replay(ctx context.Context, file string, opt Options) error {
	_, err := ReplayCounted(ctx, file, DefaultConfig(), opt)
	return err
}

// ReplayCounted is Replay with a configuration of its own, and tells the counts.
func ReplayCounted(ctx context.Context, file string, cfg Config, opt Options) (Counts, error) {
	r, err := pcap.Open(file)
	if err != nil {
		return Counts{}, fmt.Errorf("replay: %w", err)
	}
	defer r.Close() // only read
	return replay(ctx, r, cfg, opt)
}

// source gives packets until io.EOF; *pcap.Reader is one.
type source interface {
	Next() (pcap.Packet, error)
}

func replay(ctx context.Context, src source, cfg Config, opt Options) (Counts, error) {
	if err := errors.Join(cfg.Validate(), opt.check()); err != nil {
		return Counts{}, err
	}
	e := newEngine(&cfg, &opt)
	var p ip.Packet
	var ticked int64
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return e.counts(), context.Cause(ctx)
		}
		raw, err := src.Next()
		if err != nil {
			e.flush()
			e.losses(e.now)
			if errors.Is(err, io.EOF) {
				err = nil
			} else {
				err = fmt.Errorf("replay: %w", err)
			}
			return e.counts(), err
		}
		wall := raw.WallNs
		if wall <= 0 {
			wall = e.now // simple packet blocks of pcapng have no time
		}
		if err := p.DecodeLink(raw.Link, raw.Data); err != nil {
			e.unread(err)
			continue
		}
		if wall-ticked >= tickEvery || wall < ticked {
			ticked = wall
			e.tick(wall)
		}
		e.packet(&p, wall, 0)
	}
}

// tickEvery is how often a replay lets time pass, in packet ns.
const tickEvery = int64(retire) * 1e6
