// SPDX-License-Identifier: Apache-2.0

package query

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ringwall/ringwall/archive"
)

// request is one line to the child.
type request struct {
	Segments []archive.Segment `json:"segments"`
	SQL      string            `json:"sql"`
	Limits   archive.Limits    `json:"limits"`
	Threads  int               `json:"threads"`
}

// reply is one line from the child: first the columns, then rows, then the end.
type reply struct {
	Columns []string        `json:"c,omitempty"`
	Types   []string        `json:"t,omitempty"`
	Row     []any           `json:"r,omitempty"`
	End     *end            `json:"e,omitempty"`
	Ready   json.RawMessage `json:"ready,omitempty"`
}

// rowReply is a reply that is a row, encoded already.
type rowReply struct {
	Row json.RawMessage `json:"r"`
}

type end struct {
	Rows      int           `json:"rows"`
	Truncated bool          `json:"truncated"`
	Elapsed   time.Duration `json:"elapsed"`
	Code      string        `json:"code,omitempty"`
	Error     string        `json:"error,omitempty"`
}

// mostBytes is what one hunt may hand over, as JSON.
const mostBytes = 64 << 20

// child is one engine process of one tenant.
type child struct {
	tenant string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	errs   *lastWords
	idle   *time.Timer
	used   int
}

// start runs the command and waits until the engine says it is confined.
func start(cfg Config, tenant, dir string) (*child, error) {
	segments, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("tenant %q has no archive here: %w", tenant, err)
	}
	defer segments.Close()
	args := append(cfg.Command[1:len(cfg.Command):len(cfg.Command)], "confine",
		strconv.Itoa(cfg.UID), strconv.Itoa(cfg.GID), strconv.Itoa(cfg.Limits.MemoryMB), strconv.Itoa(len(cfg.Command)), dir)
	cmd := exec.Command(cfg.Command[0], args...)
	cmd.Args[0] = "ringwall"
	cmd.Env = []string{"TZ=UTC", "GOTRACEBACK=single"}
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{segments} // descriptor 3
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS}
	}
	c := &child{tenant: tenant, cmd: cmd, errs: &lastWords{}}
	cmd.Stderr = c.errs
	if c.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReaderSize(out, 64<<10)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	watch := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer watch.Stop()
	line, err := c.out.ReadSlice('\n')
	var r reply
	if err != nil || json.Unmarshal(line, &r) != nil || r.Ready == nil {
		c.kill()
		return nil, fmt.Errorf("engine of tenant %s did not come up: %s", tenant, c.errs)
	}
	return c, nil
}

// hunt asks the child and hands on its rows. rows tells how many were.
func (c *child) hunt(ctx context.Context, req request, row func([]any) error) (*archive.Answer, int, error) {
	c.used++
	line, err := json.Marshal(req)
	if err != nil {
		return nil, 0, err
	}
	// The child keeps its own time; this is for one that does not.
	late := false
	watch := time.AfterFunc(req.Limits.Time+2*time.Second, func() { late = true; c.cmd.Process.Kill() })
	defer watch.Stop()
	stop := context.AfterFunc(ctx, func() { c.cmd.Process.Kill() })
	defer stop()
	ans := &archive.Answer{}
	fail := func(err error) (*archive.Answer, int, error) {
		switch {
		case ctx.Err() != nil:
			err = ctx.Err()
		case !watch.Stop() && late:
			err = timeError(req.Limits)
		default:
			c.kill() // its last words are complete only when it is gone
			err = fmt.Errorf("%w: %v: %s", ErrEngine, err, c.errs)
		}
		return nil, ans.Rows, err
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		return fail(err)
	}
	dec := json.NewDecoder(io.LimitReader(c.out, mostBytes+1<<20))
	dec.UseNumber()
	for {
		var r reply
		if err := dec.Decode(&r); err != nil {
			return fail(err)
		}
		switch {
		case r.End != nil:
			ans.Truncated, ans.Elapsed = r.End.Truncated, r.End.Elapsed
			return ans, ans.Rows, r.End.err(req.Limits)
		case r.Columns != nil:
			ans.Columns, ans.Types = r.Columns, r.Types
		default:
			ans.Rows++
			if err := row(r.Row); err != nil {
				c.kill()
				return nil, ans.Rows, err
			}
		}
	}
}

// errGone: a segment was removed between manifest and open.
var errGone = errors.New("a segment is gone")

func timeError(lim archive.Limits) error {
	return fmt.Errorf("%w: stopped after %v; narrow it by host or time, or raise the limit", ErrTime, lim.Time)
}

func (e *end) err(lim archive.Limits) error {
	switch e.Code {
	case "":
		return nil
	case "refused":
		return fmt.Errorf("%w: %s", ErrRefused, e.Error)
	case "raw":
		return fmt.Errorf("%w: %w: %s", ErrRefused, archive.ErrRaw, e.Error)
	case "time":
		return timeError(lim)
	case "memory":
		return fmt.Errorf("%w: more than %d MB; select fewer columns, narrow it by host or time, or raise the limit", ErrMemory, lim.MemoryMB)
	case "gone":
		return fmt.Errorf("%w: %s", errGone, e.Error)
	}
	return fmt.Errorf("%w: %s", ErrSQL, e.Error)
}

func (c *child) kill() {
	c.cmd.Process.Kill()
	c.in.Close()
	c.cmd.Wait()
}

// lastWords keeps what a child said on standard error, its first 2 KiB: a crash names its
// cause first.
type lastWords struct{ b []byte }

func (t *lastWords) Write(p []byte) (int, error) {
	t.b = append(t.b, p[:min(len(p), 2048-len(t.b))]...)
	return len(p), nil
}

func (t *lastWords) String() string {
	if s := strings.TrimSpace(string(t.b)); s != "" {
		return s
	}
	return "it said nothing"
}
