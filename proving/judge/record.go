// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// Record is what one measure found. It is kept as JSON, so that the page can be made anew.
type Record struct {
	Measure string    `json:"measure"`
	Title   string    `json:"title"`
	Command string    `json:"command"`
	Began   time.Time `json:"began"`
	Took    string    `json:"took"`

	Version   string `json:"version"`
	Kernel    string `json:"kernel"`
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	Load      string `json:"load"` // load average before
	LoadAfter string `json:"load_after"`

	Skipped string   `json:"skipped,omitempty"` // why nothing was measured
	Text    []string `json:"text,omitempty"`    // paragraphs before the tables
	Tables  []Table  `json:"tables,omitempty"`
	Block   string   `json:"block,omitempty"` // printed as it is
	Musts   []Must   `json:"musts,omitempty"`
	Notes   []string `json:"notes,omitempty"`
}

// Table of figures.
type Table struct {
	Title string     `json:"title,omitempty"`
	Head  []string   `json:"head"`
	Rows  [][]string `json:"rows"`
}

// Must is a goal and what became of it. Closing ones end a run with status 1 when not met.
type Must struct {
	What    string `json:"what"`
	Want    string `json:"want"`
	Got     string `json:"got"`
	Met     bool   `json:"met"`
	Closing bool   `json:"closing,omitempty"`
}

func (r *Record) row(t *Table, cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	t.Rows = append(t.Rows, row)
}

func (r *Record) must(what, want, got string, met bool) {
	r.Musts = append(r.Musts, Must{What: what, Want: want, Got: got, Met: met})
}

func (r *Record) closing(what, want, got string, met bool) {
	r.Musts = append(r.Musts, Must{What: what, Want: want, Got: got, Met: met, Closing: true})
}

func (r *Record) broken() bool {
	return slices.ContainsFunc(r.Musts, func(m Must) bool { return m.Closing && !m.Met })
}

// describe says where and by what it was measured.
func (r *Record) describe(j *judge) {
	var u unix.Utsname
	_ = unix.Uname(&u)
	r.Kernel, r.Cores, r.Load = unix.ByteSliceToString(u.Release[:]), runtime.NumCPU(), loadAverage()
	if raw, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(raw), "model name\t: ")
		r.Processor, _, _ = strings.Cut(rest, "\n")
	}
	if out, err := exec.Command(j.program("ringwall"), "--version").Output(); err == nil {
		fields := strings.Fields(string(out))
		r.Version = fields[len(fields)-1]
	}
}

func loadAverage() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(raw))[:3], " ")
}

// write prints a record for people.
func (r *Record) write(w io.Writer) {
	fmt.Fprintf(w, "\n%s (%s, %s, load %s)\n", r.Title, r.Began.Format(time.DateTime), r.Took, r.Load)
	if r.Skipped != "" {
		fmt.Fprintln(w, "skipped:", r.Skipped)
		return
	}
	for _, t := range r.Tables {
		if t.Title != "" {
			fmt.Fprintf(w, "\n%s\n", t.Title)
		}
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{t.Head}, t.Rows...) {
			fmt.Fprintln(tw, strings.Join(row, "\t"))
		}
		tw.Flush()
	}
	if r.Block != "" {
		fmt.Fprintln(w, r.Block)
	}
	for _, m := range r.Musts {
		fmt.Fprintf(w, "%-8s %s: want %s, got %s\n", met(m.Met), m.What, m.Want, m.Got)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note    ", n)
	}
}

func met(yes bool) string {
	if yes {
		return "met"
	}
	return "NOT MET"
}

// kept gives what an earlier run stored under the key, or does the work and stores it.
func kept[T any](j *judge, key string, do func() (T, error)) (T, error) {
	if j.state == "" {
		return do()
	}
	path := filepath.Join(j.state, key+".json")
	raw, err := os.ReadFile(path)
	var v T
	if err == nil && json.Unmarshal(raw, &v) == nil {
		return v, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return v, err
	}
	if v, err = do(); err != nil {
		return v, err
	}
	if raw, err = json.MarshalIndent(v, "", " "); err == nil {
		err = replace(path, raw, 0o600)
	}
	return v, err
}

// forget removes what is kept of a measure and of its parts.
func (j *judge) forget(name string) {
	for _, pattern := range []string{name + ".json", name + "-*.json"} {
		old, _ := filepath.Glob(filepath.Join(j.state, pattern))
		for _, path := range old {
			_ = os.Remove(path)
		}
	}
}

// replace writes a file so that no half of it is ever seen.
func replace(path string, raw []byte, mode os.FileMode) error {
	if err := os.WriteFile(path+".new", raw, mode); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
