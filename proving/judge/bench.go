// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// goTest runs tests or benchmarks of a package and gives what they print.
func goTest(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-count", "1", "-timeout", "3h"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out.String())
	}
	return out.String(), nil
}

// metric is one figure of a benchmark's line, by the unit behind it.
func metric(line, unit string) float64 {
	fields := strings.Fields(line)
	for i, f := range fields {
		if f == unit && i > 0 {
			v, _ := strconv.ParseFloat(fields[i-1], 64)
			return v
		}
	}
	return 0
}

// events runs the benchmark of the judge's heart: decode, graph and rules on one core.
func events(ctx context.Context, j *judge, r *Record) error {
	n := fmt.Sprintf("%dx", j.pick(3_000_000, 100_000))
	args := []string{"./behaviour", "-run", "^$", "-bench", "^BenchmarkDecode(GraphOwnRules|GraphLinuxRules|Graph)?$", "-benchtime", n}
	out, err := goTest(ctx, args...)
	if err != nil {
		return err
	}
	names := map[string]string{
		"BenchmarkDecode": "decode", "BenchmarkDecodeGraph": "decode, graph",
		"BenchmarkDecodeGraphOwnRules": "decode, graph, own rules", "BenchmarkDecodeGraphLinuxRules": "decode, graph, own rules and SigmaHQ's for Linux",
	}
	t := Table{Head: []string{"", "events/CPU-s", "bytes/event", "graph MiB", "nodes", "heap MiB"}}
	slowest := 0.0
	for line := range strings.Lines(out) {
		name, _, _ := strings.Cut(strings.Fields(line + " x")[0], "-")
		if names[name] == "" {
			continue
		}
		rate := metric(line, "events/cpu-s")
		r.row(&t, names[name], fmt.Sprintf("%.0f", rate), fmt.Sprintf("%.0f", metric(line, "B/event")), fmt.Sprintf("%.0f", metric(line, "graph-MiB")),
			fmt.Sprintf("%.0f", metric(line, "nodes")), fmt.Sprintf("%.0f", metric(line, "heap-MiB")))
		if strings.Contains(name, "Rules") && (slowest == 0 || rate < slowest) {
			slowest = rate
		}
	}
	if len(t.Rows) == 0 {
		r.Skipped = "package behaviour has no such benchmark"
		return nil
	}
	r.Tables = append(r.Tables, t)
	r.Text = append(r.Text, "`go test "+strings.Join(args, " ")+"`: a made stream of web requests, uploads, commands, logins, cron jobs and builds on eight hosts, encoded as on the bus; GOMAXPROCS=1, collection of garbage included; the graph may take 64 MiB.")
	if os.Getenv("RINGWALL_DATA") == "" {
		r.Notes = append(r.Notes, "RINGWALL_DATA is not set: not measured with SigmaHQ's rules.")
	}
	r.must("events/s on one core, all rules", ">= 50000", fmt.Sprintf("%.0f", slowest), slowest >= 50_000)
	r.must("aim: events/s on one core, all rules", "150000", fmt.Sprintf("%.0f", slowest), slowest >= 150_000)
	return nil
}

// beside is a line of TestBesidePeers: name, CPU seconds, µs and packets per CPU second.
var beside = regexp.MustCompile(`(\S+) +([0-9.]+) CPU s +([0-9.]+) µs/packet +([0-9]+) packets/CPU s`)

// packets reads the same captures with the packet sensor, ndpiReader and tshark.
func packets(ctx context.Context, j *judge, r *Record) error {
	if os.Getenv("RINGWALL_DATA") == "" {
		r.Skipped = "RINGWALL_DATA is not set: it names the folder whose network/ holds the captures"
		return nil
	}
	t := Table{Head: []string{"", "CPU s", "µs/packet", "packets/CPU-s"}}
	rates := map[string][]float64{}
	var order []string
	rows := map[string][3]string{}
	for range j.pick(3, 1) {
		out, err := goTest(ctx, "./sense/packet", "-run", "^TestBesidePeers$", "-v")
		if err != nil {
			return err
		}
		for _, m := range beside.FindAllStringSubmatch(out, -1) {
			name := m[1]
			if strings.HasSuffix(name, ".test") {
				name = "Ringwall's packet sensor"
			}
			if rates[name] == nil {
				order = append(order, name)
			}
			rate, _ := strconv.ParseFloat(m[4], 64)
			rates[name] = append(rates[name], rate)
			if rate == quantile(rates[name], 1) {
				rows[name] = [3]string{m[2], m[3], m[4]}
			}
		}
	}
	if len(order) == 0 {
		r.Skipped = "the captures under RINGWALL_DATA could not be read"
		return nil
	}
	for _, name := range order {
		r.row(&t, name, rows[name][0], rows[name][1], rows[name][2])
	}
	r.Tables = append(r.Tables, t)
	r.Text = append(r.Text, "`RINGWALL_DATA=… go test ./sense/packet -run TestBesidePeers -v`: all Ethernet captures of the data set, joined and repeated five times (many protocols, small flows), read from one file; start of the program included; GOMAXPROCS=1; the best of the runs, in turn. The sensor makes events with HTTP, TLS, SSH and DNS decoded and secrets replaced; `ndpiReader -q -i` labels flows; `tshark -n -q -z conv,tcp` dissects fully.")
	return nil
}

// archive fills an archive and hunts in it.
func archive(ctx context.Context, j *judge, r *Record) error {
	rows := j.pick(10_000_000, 100_000)
	if dir := os.TempDir(); !j.short && free(dir) < 6<<30 {
		r.Skipped = fmt.Sprintf("%s has less than 6 GiB free; set TMPDIR", dir)
		return nil
	}
	args := []string{"./archive/measure", "-run", "^$", "-bench", "^BenchmarkHunts$", "-benchtime", "1x", "-rows", strconv.Itoa(rows)}
	out, err := goTest(ctx, args...)
	if err != nil {
		return err
	}
	var block []string
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, " \n")
		if head := strings.Fields(line + " x")[0]; len(block) == 0 && !strings.Contains(line, "events in ") || slices.Contains([]string{"PASS", "ok", "goos:", "goarch:", "pkg:", "cpu:"}, head) || strings.HasPrefix(head, "Benchmark") {
			continue
		}
		block = append(block, line)
	}
	r.Block = strings.Join(block, "\n")
	r.Text = append(r.Text, "`go test "+strings.Join(args, " ")+"`: made events of 500 hosts, offered in batches as the brain does; hunts by the confined engine process, wall time, five runs each.")
	return nil
}

// free is how many bytes a folder's file system has left for us.
func free(dir string) int64 {
	out, err := exec.Command("df", "--output=avail", "-B1", filepath.Clean(dir)).Output()
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(out))
	n, _ := strconv.ParseInt(fields[len(fields)-1], 10, 64)
	return n
}
