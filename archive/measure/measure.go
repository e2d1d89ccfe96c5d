// SPDX-License-Identifier: Apache-2.0

// Package measure times the embedded archive: events in, bytes on disk, and the hunts
// that docs/benchmarks.md names.
//
// In go a folder, a number of synthetic events and the command that starts the hunt
// engine; out comes a Report that prints itself as a table. It believes the wall
// clock. The worst trap: medians of a machine that does other work; the report says
// how many runs each is of, and nothing here judges a number.
package measure

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ringwall/ringwall/archive"
	"github.com/ringwall/ringwall/archive/query"
	"github.com/ringwall/ringwall/archive/synth"
)

// Config of one measurement.
type Config struct {
	Dir     string   // empty folder to fill
	Rows    int      // synthetic events
	Hosts   int      // default 500
	Runs    int      // of each hunt, default 5
	Command []string // starts the hunt engine; see query.Config
}

// Hunt is one measured hunt.
type Hunt struct {
	Name   string        `json:"name"`
	SQL    string        `json:"sql"`
	Rows   int           `json:"rows"`
	First  time.Duration `json:"first_ns"` // cold engine for the first hunt of all
	Median time.Duration `json:"median_ns"`
}

// Report is what was measured.
type Report struct {
	Rows      int64         `json:"rows"`
	Segments  int           `json:"segments"`
	Bytes     int64         `json:"bytes"`
	Ingest    time.Duration `json:"ingest_ns"` // events made, stored, durable and merged
	PerSecond float64       `json:"rows_per_s"`
	BytesRow  float64       `json:"bytes_per_event"`
	Visible   time.Duration `json:"visible_ns"` // from Append to a hunt that sees it
	Hunts     []Hunt        `json:"hunts"`
}

// rareHash stands in a hunt for a content that one event has; Run looks one up.
const rareHash = "RARE"

// Hunts are those of the platform study (reference platform.md §3) in this schema.
var Hunts = []struct{ Name, SQL string }{
	{"smallest", "select 1"},
	{"rare hash to hosts", "select distinct host from events where sha256 = '" + rareHash + "'"},
	{"process tree of one host", `with recursive tree(pid, start_ns, exe, depth) as (
		select target_pid, target_start_ns, exe, 0 from (select * from processes where host = 'host-0007' and kind = 'process.fork' order by time limit 1)
		union all select p.target_pid, p.target_start_ns, p.exe, t.depth + 1 from processes p join tree t on p.pid = t.pid and p.start_ns = t.start_ns
		where p.host = 'host-0007' and p.kind = 'process.fork' and t.depth < 20) select count(*) from tree`},
	{"all of one process", "select * from events where host = 'host-0003' and start_ns = (select start_ns from processes where host = 'host-0003' limit 1)"},
	{"host timeline, last 200", "select * from events where host = 'host-0011' order by time desc limit 200"},
	{"three addresses", "select host, count(*) from events where dst_ip in ('20.0.0.0', '61.97.76.235', '75.243.81.226') group by 1"},
	{"argument like", "select count(*) from events where argv like '%job-77%'"},
	{"top talkers", "select dst_ip, count(*) n, approx_count_distinct(host) from flows group by 1 order by n desc limit 20"},
	{"per hour and class", "select time_ns // 3600000000000 as h, class_uid, count(*) from events group by 1, 2"},
	{"last minute", "select count(*) from events where time > (select max(time) - interval 1 minute from events)"},
	{"findings, newest 50", "select * from findings order by time desc limit 50"},
}

// Run fills the folder and measures. It takes about 20 s for a million events on two cores.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Rows <= 0 || cfg.Dir == "" {
		return nil, fmt.Errorf("measure archive: %d rows into %q: want a folder and at least one row", cfg.Rows, cfg.Dir)
	}
	if cfg.Hosts == 0 {
		cfg.Hosts = 500
	}
	if cfg.Runs == 0 {
		cfg.Runs = 5
	}
	s, err := archive.Open(archive.Config{Dir: cfg.Dir})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	r := &Report{}
	src := synth.New("bench", cfg.Hosts, 1, 3e6)
	if err := r.ingest(ctx, s, src, cfg.Rows); err != nil {
		return nil, err
	}
	p, err := query.New(query.Config{Root: cfg.Dir, Command: cfg.Command, Limits: archive.Limits{Time: 5 * time.Minute, MemoryMB: 1024}})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	rare := ""
	_, err = p.Hunt(ctx, "bench", "select sha256 from events where sha256 is not null group by 1 order by count(*), 1 limit 1", archive.Limits{}, func(row []any) error {
		rare = fmt.Sprint(row[0])
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for a rare hash: %w", err)
	}
	for _, h := range Hunts {
		h.SQL = strings.ReplaceAll(h.SQL, rareHash, rare)
		m, err := hunt(ctx, p, h.Name, h.SQL, cfg.Runs)
		if err != nil {
			return nil, fmt.Errorf("hunt %q: %w", h.Name, err)
		}
		r.Hunts = append(r.Hunts, m)
	}
	return r, r.visible(ctx, s, p, src)
}

func (r *Report) ingest(ctx context.Context, s *archive.Store, src *synth.Source, rows int) error {
	from := time.Now()
	failed := make(chan error, 1)
	for n := 0; n < rows; {
		host, events := src.Batch(min(500, rows-n))
		n += len(events)
		err := s.Offer(ctx, archive.Batch{Tenant: "bench", Host: host, Epoch: 1, Events: events}, func(err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
		if err != nil {
			return err
		}
	}
	if err := s.Flush(); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	default:
	}
	r.Ingest = time.Since(from)
	r.Segments, r.Rows, r.Bytes = s.Size("bench")
	r.PerSecond, r.BytesRow = float64(r.Rows)/r.Ingest.Seconds(), float64(r.Bytes)/float64(r.Rows)
	return nil
}

func hunt(ctx context.Context, p *query.Pool, name, sql string, runs int) (Hunt, error) {
	h := Hunt{Name: name, SQL: sql}
	var took []time.Duration
	for range runs {
		from := time.Now()
		ans, err := p.Hunt(ctx, "bench", sql, archive.Limits{}, func([]any) error { return nil })
		if err != nil {
			return h, err
		}
		took = append(took, time.Since(from))
		h.Rows = ans.Rows
	}
	h.First = took[0]
	slices.Sort(took)
	h.Median = took[len(took)/2]
	return h, nil
}

// visible is how long until an event that was just offered is seen by a hunt.
func (r *Report) visible(ctx context.Context, s *archive.Store, p *query.Pool, src *synth.Source) error {
	host, events := src.Batch(1)
	from := time.Now()
	if err := s.Offer(ctx, archive.Batch{Tenant: "bench", Host: host, Epoch: 1, Events: events}, func(error) {}); err != nil {
		return err
	}
	sql := fmt.Sprintf("select 1 from events where host = '%s' and seq = %d", host, events[0].Seq)
	for {
		ans, err := p.Hunt(ctx, "bench", sql, archive.Limits{}, func([]any) error { return nil })
		if err != nil {
			return err
		}
		if ans.Rows == 1 {
			r.Visible = time.Since(from)
			return nil
		}
	}
}

// Table prints the report for people.
func (r *Report) Table(w io.Writer) error {
	fmt.Fprintf(w, "%d events in %v: %.0f/s in (made, stored, durable), %.1f B/event on disk with the whole event, %d segments; hunted %v after it was offered\n",
		r.Rows, r.Ingest.Round(time.Millisecond), r.PerSecond, r.BytesRow, r.Segments, r.Visible.Round(time.Millisecond))
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "hunt\trows\tfirst ms\tmedian ms\t")
	for _, h := range r.Hunts {
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.1f\t\n", h.Name, h.Rows, float64(h.First)/1e6, float64(h.Median)/1e6)
	}
	return t.Flush()
}
