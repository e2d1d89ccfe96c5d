// SPDX-License-Identifier: Apache-2.0

// Command judge runs the long measures of the product and writes docs/benchmarks.md.
//
// In: the built binaries, this machine, and the data that RINGWALL_DATA names where it is set.
// Out: one record per measure under the state folder and the page made of them. A measure that is
// finished is not repeated unless -again asks for it, and the parts of a long one are kept too, so
// that a stopped run goes on where it was (start it again without -again). With -short each is done in little, nothing is kept and
// no page is written: that form belongs to every change.
//
// It believes CPU time, told by the kernel in nanoseconds, and compares only what was measured in
// the same run, in turn. Wall time is believed for delays alone, and the load average stands beside.
//
// Worst trap: this machine is not alone. What is not scoped to the judge's own cgroup and user
// would charge one side with everybody's work.
//
// Exit: 0 all was done, 1 a must that closes a change is broken, 2 the judge could not do its work.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// measure is one section of the page.
type measure struct {
	name  string
	title string
	run   func(context.Context, *judge, *Record) error
}

// measures in the order of the page.
var measures = []measure{
	{"latency", "Intrusion to alert", latency},
	{"cost", "Added cost beside auditd", cost},
	{"events", "Events through decode, graph and rules", events},
	{"packets", "Packets from captures beside tshark and ndpiReader", packets},
	{"archive", "Archive", archive},
	{"range", "The range", ranges},
}

// judge is one run.
type judge struct {
	bin   string // folder of the product's binaries
	state string // where records are kept; empty: nowhere
	short bool
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "worker" {
		work(os.Args[2], os.Args[3:])
		return
	}
	j := &judge{}
	flag.StringVar(&j.bin, "bin", "bin", "folder of ringwall and ringwall-agent")
	flag.StringVar(&j.state, "state", "var/judge", "folder where finished measures are kept")
	page := flag.String("page", "docs/benchmarks.md", "page to write")
	flag.BoolVar(&j.short, "short", false, "each measure in little; nothing is kept, no page is written")
	again := flag.Bool("again", false, "forget what is kept of these measures and begin anew")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: judge [flags] [%s]…\n", strings.Join(names(), "|"))
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	broken, err := j.all(ctx, flag.Args(), *again, *page)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(2)
	case broken:
		os.Exit(1)
	}
}

func names() (out []string) {
	for _, m := range measures {
		out = append(out, m.name)
	}
	return out
}

// all does the measures that are asked for (none: all), then writes the page.
func (j *judge) all(ctx context.Context, wanted []string, again bool, page string) (broken bool, err error) {
	for _, w := range wanted {
		if !slices.Contains(names(), w) {
			return false, fmt.Errorf("%q is no measure; there are %s", w, strings.Join(names(), ", "))
		}
	}
	if j.bin, err = filepath.Abs(j.bin); err != nil {
		return false, err
	}
	if _, err := os.Stat(j.program("ringwall")); err != nil {
		return false, fmt.Errorf("%w; mend: make build", err)
	}
	if j.short {
		j.state = ""
	} else if err := os.MkdirAll(j.state, 0o700); err != nil {
		return false, err
	}
	var failed error
	for _, m := range measures {
		if len(wanted) > 0 && !slices.Contains(wanted, m.name) {
			continue
		}
		if again {
			j.forget(m.name)
		}
		r, err := j.one(ctx, m)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", m.name, err))
			fmt.Fprintf(os.Stderr, "%s: %v\n", m.name, err)
			continue
		}
		r.write(os.Stdout)
		broken = broken || r.broken()
		if ctx.Err() != nil {
			break
		}
	}
	if !j.short {
		failed = errors.Join(failed, j.writePage(page))
	}
	return broken, failed
}

// one does a measure, or takes what is kept of it.
func (j *judge) one(ctx context.Context, m measure) (*Record, error) {
	return kept(j, m.name, func() (*Record, error) {
		r := &Record{Measure: m.name, Title: m.title, Command: command(m.name), Began: time.Now().UTC()}
		r.describe(j)
		began := time.Now()
		fmt.Printf("== %s\n", m.title)
		if err := m.run(ctx, j, r); err != nil {
			return nil, err
		}
		r.Took = time.Since(began).Round(time.Second).String()
		r.LoadAfter = loadAverage()
		return r, ctx.Err()
	})
}

func command(name string) string { return "make judge ARGS='-again " + name + "'" }

func (j *judge) program(name string) string { return filepath.Join(j.bin, name) }

// pick is how much of something a run does.
func (j *judge) pick(long, short int) int {
	if j.short {
		return short
	}
	return long
}
