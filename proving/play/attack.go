// SPDX-License-Identifier: Apache-2.0

package play

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall/proving/lab"
	"github.com/ringwall/ringwall/proving/scenario"
)

// stepLimit bounds one step, so that a cut connection ends it; a script, which may try many things
// in turn, has longer.
const (
	stepLimit   = 15 * time.Second
	scriptLimit = time.Minute
)

// Outcome of a step.
type Outcome struct {
	Step   string
	T0, T1 time.Time // wall clock, with the monotonic reading
	Output string
	Worked bool
	Why    string           // why it did not
	PIDs   map[string][]int // host role to machine pids that are known to be the attack's
}

// Intruder makes the steps of a scenario. It is for one goroutine.
type Intruder struct {
	world  *World
	shells map[string]*shell
}

// NewIntruder gives an intruder with empty hands.
func NewIntruder(w *World) *Intruder {
	return &Intruder{world: w, shells: map[string]*shell{}}
}

// Close ends what the intruder still holds open.
func (i *Intruder) Close() {
	for _, s := range i.shells {
		s.close()
	}
}

// Do makes one step. The error means that the runner failed; a step that was stopped or had no
// effect is an Outcome that did not work.
func (i *Intruder) Do(ctx context.Context, step scenario.Step) (Outcome, error) {
	limit := stepLimit
	if step.Do.Run != nil {
		limit = scriptLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	host := i.world.Lab.Host(step.On)
	out := Outcome{Step: step.ID, PIDs: map[string][]int{}, T0: time.Now()}
	var err error
	switch do := step.Do; {
	case do.Scan != nil:
		err = i.scan(ctx, host, do.Scan, &out)
	case do.Discover != nil:
		err = i.discover(ctx, host, do.Discover, &out)
	case do.HTTP != nil:
		err = i.http(ctx, host, do.HTTP, &out)
	case do.Shell != nil:
		err = i.shell(ctx, host, step, &out)
	case do.Type != nil:
		err = i.typeLine(ctx, do.Type, &out)
	case do.Run != nil:
		var result lab.Result
		result, err = host.Run(ctx, lab.Shell(do.Run.User, do.Run.Script))
		out.Output, out.Worked = result.Stdout+result.Stderr, result.Code == 0
	}
	if out.T1.IsZero() {
		out.T1 = time.Now()
	}
	if err != nil {
		return out, fmt.Errorf("step %s: %w", step.ID, err)
	}
	i.judge(step.Works, &out)
	return out, nil
}

// judge looks for the effect that the scenario states.
func (i *Intruder) judge(works scenario.Works, out *Outcome) {
	if works.Output != "" {
		out.Worked = strings.Contains(out.Output, works.Output)
		if !out.Worked {
			out.Why = fmt.Sprintf("the answer lacks %q: %.300q", works.Output, out.Output)
			return
		}
	}
	if works.File != "" {
		data, err := i.world.Lab.Host(works.Host).ReadFile(works.File)
		out.Worked = err == nil && bytes.Contains(data, []byte(works.Holds))
		if !out.Worked {
			out.Why = fmt.Sprintf("%s on %s is not there or lacks %q", works.File, works.Host, works.Holds)
			return
		}
	}
	if !out.Worked && out.Why == "" {
		out.Why = fmt.Sprintf("it failed: %.300q", out.Output)
	}
}

func (i *Intruder) scan(ctx context.Context, host *lab.Host, s *scenario.Scan, out *Outcome) error {
	target := i.world.Scenario.Machines[s.To].Addr.String()
	result, err := host.Run(ctx, lab.Command{Argv: []string{"nmap", "-n", "-Pn", "-sS", "-T4", "-p", s.Ports, target}})
	out.Output, out.Worked = result.Stdout+result.Stderr, result.Code == 0
	return interrupted(err)
}

// discover asks for all paths over one connection, as such tools do, and lists code and path.
func (i *Intruder) discover(ctx context.Context, host *lab.Host, d *scenario.Discover, out *Outcome) error {
	argv := []string{"curl", "-s", "-m", "5", "-o", "/dev/null", "-A", d.Agent, "-w", "%{http_code} %{urlnum}\\n"}
	for n, path := range d.Paths {
		if n > 0 {
			argv = append(argv, "-o", "/dev/null")
		}
		argv = append(argv, i.world.url(d.To, path))
	}
	result, err := host.Run(ctx, lab.Command{Argv: argv})
	var list strings.Builder
	for line := range strings.Lines(result.Stdout) {
		code, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.Atoi(number); err == nil && n < len(d.Paths) {
			fmt.Fprintf(&list, "%s %s\n", code, d.Paths[n])
		}
	}
	out.Output, out.Worked = list.String(), result.Code == 0
	return interrupted(err)
}

// request builds the curl command of one request.
func (i *Intruder) request(host *lab.Host, h *scenario.HTTP) (lab.Command, error) {
	argv := []string{"curl", "-s", "-S", "-m", "10", "-w", "\n%{http_code}"}
	if h.LocalPort != 0 {
		argv = append(argv, "--local-port", strconv.Itoa(h.LocalPort))
	}
	for _, name := range slices.Sorted(maps.Keys(h.Header)) {
		argv = append(argv, "-H", name+": "+h.Header[name])
	}
	if len(h.Query) > 0 {
		argv = append(argv, "-G")
		for _, name := range slices.Sorted(maps.Keys(h.Query)) {
			argv = append(argv, "--data-urlencode", name+"="+h.Query[name])
		}
	}
	body, err := i.body(host, h)
	if err != nil {
		return lab.Command{}, err
	}
	return lab.Command{Argv: append(append(argv, body...), i.world.url(h.To, h.Path))}, nil
}

// body is the part of the curl command that says what is sent.
func (i *Intruder) body(host *lab.Host, h *scenario.HTTP) (argv []string, err error) {
	method := h.Method
	switch {
	case h.File != nil:
		local := "/root/" + path.Base(h.File.Name)
		if err := host.WriteFile(local, []byte(h.File.Body), 0o600, ""); err != nil {
			return nil, err
		}
		form := fmt.Sprintf("%s=@%s;filename=\"%s\"", cmp.Or(h.File.Field, lab.UploadField), local, h.File.Name)
		if h.File.Type != "" {
			form += ";type=" + h.File.Type
		}
		argv = append(argv, "-F", form)
		for _, name := range slices.Sorted(maps.Keys(h.Form)) {
			argv = append(argv, "--form-string", name+"="+h.Form[name])
		}
		if method == "POST" {
			method = "" // as it is
		}
	case len(h.Form) > 0:
		for _, name := range slices.Sorted(maps.Keys(h.Form)) {
			argv = append(argv, "--data-urlencode", name+"="+h.Form[name])
		}
		if len(h.Query) > 0 {
			return nil, errors.New("a request has query and form; write the query into the path")
		}
		if method == "POST" {
			method = ""
		}
	case h.Body != "":
		const local = "/root/body"
		if err := host.WriteFile(local, []byte(h.Body), 0o600, ""); err != nil {
			return nil, err
		}
		argv, method = append(argv, "--data-binary", "@"+local), cmp.Or(method, "PUT")
	}
	switch method {
	case "", "GET":
	case "HEAD":
		argv = append(argv, "-I")
	default:
		argv = append(argv, "-X", method)
	}
	return argv, nil
}

func (i *Intruder) http(ctx context.Context, host *lab.Host, h *scenario.HTTP, out *Outcome) error {
	command, err := i.request(host, h)
	if err != nil {
		return err
	}
	out.T0 = time.Now() // writing the file to be sent was no part of the step
	result, err := host.Run(ctx, command)
	out.Output, out.Worked = result.Stdout+result.Stderr, result.Code == 0
	return interrupted(err)
}

// shell opens something to type into: a shell that comes back to a port, or a program such as ssh.
func (i *Intruder) shell(ctx context.Context, host *lab.Host, step scenario.Step, out *Outcome) error {
	s := step.Do.Shell
	var begun *lab.Process
	var err error
	switch {
	case s.Listen == 0:
		i.shells[step.ID], err = open(host, lab.Shell(s.Run.User, s.Run.Script))
	default:
		if i.shells[step.ID], err = listen(host, s.Listen); err == nil {
			err = host.AwaitListening(ctx, s.Listen)
		}
		out.T0 = time.Now()
		if err == nil && s.By != nil {
			err = i.http(ctx, host, s.By, out)
		} else if err == nil {
			begun, err = host.Start(ctx, lab.Shell(s.Run.User, s.Run.Script))
		}
	}
	if err != nil {
		return err
	}
	// The shell is there once it answers.
	answer, err := i.shells[step.ID].say(ctx, "id; echo pid=$$")
	out.T1 = time.Now()
	out.Output, out.Worked = answer, err == nil
	if begun != nil {
		begun.Kill()
	}
	if err != nil {
		out.Why = err.Error()
		return nil
	}
	i.notePID(out, s.At(), answer)
	return nil
}

// printedPID is what "echo pid=$$" prints; the line that was typed comes back too, without digits.
var printedPID = regexp.MustCompile(`pid=(\d+)`)

// notePID remembers the machine's number of a process that printed its own.
func (i *Intruder) notePID(out *Outcome, role, answer string) {
	m := printedPID.FindStringSubmatch(answer)
	if m == nil {
		return
	}
	pid, err := strconv.Atoi(m[1])
	if err != nil {
		return
	}
	if global, err := globalPID(i.world.Lab.Host(role), pid); err == nil {
		out.PIDs[role] = append(out.PIDs[role], global)
	}
}

func (i *Intruder) typeLine(ctx context.Context, t *scenario.Type, out *Outcome) error {
	s := i.shells[t.Into]
	if s == nil {
		out.Why = "there is no shell to type into"
		return nil
	}
	answer, err := s.say(ctx, t.Line)
	out.Output, out.Worked = answer, err == nil
	if err != nil {
		out.Why = err.Error()
	}
	return nil
}

// interrupted lets a step that ran into its limit count as one that did not work.
func interrupted(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
