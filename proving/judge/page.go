// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const preface = `# Benchmarks

Written by ` + "`make judge`" + ` from what it measured; edit the measures in ` + "`proving/judge`" + `, not this page. Each section says
what reproduces it, and where and when it was measured. The machine is shared with other work: CPU time is told
where it can be, wall time only where a delay is the question, and the load average (1, 5 and 15 minutes) stands beside.
A goal that is not met says so.
`

// writePage makes the page of all records that are kept.
func (j *judge) writePage(path string) error {
	var b strings.Builder
	b.WriteString(preface)
	for _, m := range measures {
		raw, err := os.ReadFile(filepath.Join(j.state, m.name+".json"))
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(&b, "\n## %s\n\nNot measured yet: `%s`.\n", m.title, command(m.name))
			continue
		}
		if err != nil {
			return err
		}
		r := &Record{}
		if err := json.Unmarshal(raw, r); err != nil {
			return fmt.Errorf("record of %s: %w; mend: repeat it with -again", m.name, err)
		}
		r.section(&b)
	}
	return replace(path, []byte(b.String()), 0o644)
}

// section writes one measure as markdown.
func (r *Record) section(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n", r.Title)
	fmt.Fprintf(b, "`%s` · %s, %s · version %s · kernel %s · %d cores, %s · load average %s before, %s after\n",
		r.Command, r.Began.Format(time.DateOnly+" 15:04 MST"), r.Took, r.Version, r.Kernel, r.Cores, r.Processor, r.Load, r.LoadAfter)
	if r.Skipped != "" {
		fmt.Fprintf(b, "\nSkipped: %s.\n", r.Skipped)
		return
	}
	for _, p := range r.Text {
		fmt.Fprintf(b, "\n%s\n", p)
	}
	for _, t := range r.Tables {
		t.markdown(b)
	}
	if r.Block != "" {
		fmt.Fprintf(b, "\n```\n%s\n```\n", strings.TrimRight(r.Block, "\n"))
	}
	if len(r.Musts) > 0 {
		t := Table{Head: []string{"goal", "want", "got", ""}}
		for _, m := range r.Musts {
			r.row(&t, m.What, m.Want, m.Got, met(m.Met))
		}
		t.markdown(b)
	}
	for i, n := range r.Notes {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "* %s\n", n)
	}
}

func (t *Table) markdown(b *strings.Builder) {
	b.WriteString("\n")
	if t.Title != "" {
		fmt.Fprintf(b, "%s\n\n", t.Title)
	}
	line := func(cells []string) {
		b.WriteString("|")
		for _, c := range cells {
			fmt.Fprintf(b, " %s |", strings.ReplaceAll(c, "|", `\|`))
		}
		b.WriteString("\n")
	}
	line(t.Head)
	b.WriteString(strings.Repeat("|---", len(t.Head)) + "|\n")
	for _, row := range t.Rows {
		line(row)
	}
}
