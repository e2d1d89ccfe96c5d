// SPDX-License-Identifier: Apache-2.0

package query

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
)

// Serve is the engine process: what the hidden command archive-query runs. args are
// those after the command's name. It returns the exit code.
//
// It runs twice. The first time ("confine") it puts limits, no_new_privs and Landlock on its
// own thread and executes itself again, because only an exec makes every thread of
// a Go program inherit them. The second time ("confined") it gives up root,
// installs seccomp, and answers hunts on standard input until that closes.
func Serve(args []string) int {
	if err := serve(args, answer); err != nil {
		fmt.Fprintln(os.Stderr, "archive-query:", err)
		return 1
	}
	return 0
}

// orders are the arguments of both runs.
type orders struct {
	uid, gid, memoryMB, skip int
	dir                      string
}

// serve does both runs; work is what the confined process is for.
func serve(args []string, work func(orders, io.Reader, io.Writer) error) error {
	if len(args) != 6 {
		return fmt.Errorf("%d arguments: this command is started by Ringwall itself; use ringwall hunt", len(args))
	}
	o := orders{dir: args[5]}
	for i, p := range []*int{&o.uid, &o.gid, &o.memoryMB, &o.skip} {
		n, err := strconv.Atoi(args[1+i])
		if err != nil || n < 0 {
			return fmt.Errorf("argument %q is not a number", args[1+i])
		}
		*p = n
	}
	switch args[0] {
	case "confine":
		return confineAndExec(o)
	case "confined":
		if err := giveUp(&o); err != nil {
			return err
		}
		return work(o, os.Stdin, os.Stdout)
	}
	return fmt.Errorf("unknown argument %q", args[0])
}

// answer reads requests until in closes. The end of in ends the process at once, in
// the middle of a hunt too: it means that Ringwall is gone.
func answer(o orders, in io.Reader, out io.Writer) error {
	w := bufio.NewWriterSize(out, 64<<10)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	say := func(r any) error { return enc.Encode(r) }
	eng, err := newEngine(o.dir)
	if err != nil {
		return err
	}
	if err := say(reply{Ready: json.RawMessage("true")}); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	requests := make(chan request)
	go func() {
		dec := json.NewDecoder(in)
		for {
			var r request
			if dec.Decode(&r) != nil {
				os.Exit(0)
			}
			requests <- r
		}
	}()
	for r := range requests {
		done := eng.hunt(r, say)
		if err := say(reply{End: done}); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}
