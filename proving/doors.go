// SPDX-License-Identifier: Apache-2.0

package proving

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ringwall/ringwall/proving/lab"
	"github.com/ringwall/ringwall/proving/play"
	"github.com/ringwall/ringwall/proving/scenario"
	"github.com/ringwall/ringwall/proving/score"
	"gopkg.in/yaml.v3"
)

// This file is all that the range knows of the product: its commands, its configuration keys and
// the JSON it prints.

const (
	brainPort = 4222
	// startLimit bounds how long the product may take to come up. Measured with nothing cached: 3 s.
	startLimit = 60 * time.Second
	// askLimit bounds one question to the product's command line.
	askLimit = time.Minute
	// maxTraces bounds the questions after a run that went wild.
	maxTraces   = 200
	maxFindings = 100_000
	// unshared is the role whose agent loads kernel programs of its own.
	unshared = "data"
)

// sensorNames that Options.Without may name.
var sensorNames = []string{"kernel", "packet", "file", "log"}

// sayReady is the line that the brain and an agent print when they watch.
var sayReady = regexp.MustCompile(`(?i)\b(ready|watching)\b`)

// judged is the product under trial, running in the lab.
type judged struct {
	opts  Options
	world *play.World
	aside *lab.Aside
	dir   string // data, configuration and what the processes printed
	data  string // the brain's data folder
	parts []*part

	followed chan struct{} // closed when no finding can come any more

	mu       sync.Mutex // guards findings and notes
	findings []score.Finding
	notes    []string
}

// start brings up the brain, the shared kernel programs and an agent for every defended host.
func start(ctx context.Context, opts Options, w *play.World, dir string) (_ *judged, err error) {
	j := &judged{opts: opts, world: w, dir: dir, data: filepath.Join(dir, "brain")}
	pins := filepath.Join(dir, "bpf")
	for _, folder := range []string{j.data, pins} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, err
		}
	}
	if j.aside, err = w.Lab.NewAside(pins); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			j.stop()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := j.startBrain(ctx); err != nil {
		return nil, err
	}
	share := ""
	if !slices.Contains(opts.Without, "kernel") {
		share = pins
		shared, err := j.spawn("kernel-share", nil, opts.Agent, "kernel-share", "--pin", pins)
		if err != nil {
			return nil, err
		}
		if err := j.await(ctx, shared); err != nil {
			return nil, err
		}
	}
	for _, host := range w.Lab.Hosts() {
		if scenario.Attacker(host.Role) {
			continue // nobody defends it
		}
		if err := j.startAgent(ctx, host, share); err != nil {
			return nil, err
		}
	}
	for _, p := range j.parts {
		if err := j.await(ctx, p); err != nil {
			return nil, err
		}
	}
	return j, j.startFollow()
}

func (j *judged) startBrain(ctx context.Context) error {
	brain := j.world.Lab.Host("brain")
	if brain == nil {
		return fmt.Errorf("%s: a host with the role brain is missing", j.opts.File)
	}
	stage := "observe"
	if j.opts.Enforce {
		stage = "enforce"
	}
	config, err := j.writeConfig("brain", map[string]any{"brain": map[string]any{"policy": map[string]any{"stage": stage}}})
	if err != nil {
		return err
	}
	p, err := j.spawn("brain", brain, j.opts.Binary, "brain", "--data", j.data, "--listen", j.listen(), "--config", config)
	if err != nil {
		return err
	}
	return j.await(ctx, p)
}

func (j *judged) listen() string {
	return fmt.Sprintf("%s:%d", j.world.Lab.Host("brain").Addr, brainPort)
}

func (j *judged) startAgent(ctx context.Context, host *lab.Host, share string) error {
	var invitation struct{ Token, Join string }
	answer, err := j.ask(ctx, "enroll", "--host", host.Name, "--group", "range")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, &invitation); err != nil {
		return fmt.Errorf("enroll host %s: read the token: %w", host.Name, err)
	}
	join := invitation.Join
	if join == "" {
		join = invitation.Token + "@" + j.listen()
	}
	config := map[string]any{
		"host":  host.Name,
		"scope": map[string]any{"cgroup": host.Cgroup, "netns": host.NetPath(), "root": host.RootPath()},
	}
	sensors := map[string]any{}
	for _, name := range j.opts.Without {
		if name == "file" || name == "log" {
			name += "s" // the product's word for them
		}
		sensors[name] = "off"
	}
	if len(sensors) > 0 {
		config["sensors"] = sensors
	}
	if share != "" && host.Role != unshared {
		config["kernel"] = map[string]any{"shared": share}
	}
	file, err := j.writeConfig("agent-"+host.Role, config)
	if err != nil {
		return err
	}
	_, err = j.spawn("agent-"+host.Role, host, j.opts.Agent, "run", "--join", join, "--data", filepath.Join(j.dir, "agent-"+host.Role), "--config", file)
	return err
}

func (j *judged) writeConfig(name string, config map[string]any) (string, error) {
	text, err := yaml.Marshal(config)
	if err != nil {
		return "", err
	}
	file := filepath.Join(j.dir, name+".yaml")
	return file, os.WriteFile(file, text, 0o600)
}

// ask runs one command of the product's command line and gives what it printed.
func (j *judged) ask(ctx context.Context, argv ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, j.opts.Binary, append(argv, "--data", j.data, "--json", "-")...)
	cmd.Env = j.environment()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("ask %q: %w: %.400s", argv[0], err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.Bytes(), nil
}

// startFollow keeps reading findings as they are published.
func (j *judged) startFollow() error {
	cmd := exec.Command(j.opts.Binary, "findings", "--data", j.data, "--json", "-", "--follow")
	cmd.Env = j.environment()
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout = in
	if cmd.Stderr, err = os.Create(filepath.Join(j.dir, "findings.err")); err != nil {
		return err
	}
	err = j.aside.Start(nil, cmd)
	in.Close()
	if err != nil {
		return fmt.Errorf("follow findings: %w", err)
	}
	j.followed = make(chan struct{})
	go func() {
		defer close(j.followed)
		j.collect(out)
		out.Close()
		cmd.Wait()
	}()
	return nil
}

// collect keeps findings by id: one that is published again replaces what it said, but keeps the
// time at which it was first said.
func (j *judged) collect(from io.Reader) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			f, bad := decodeFinding(line)
			if bad != nil {
				j.note("a finding could not be read: %v: %.200s", bad, line)
			} else if f != nil {
				j.keep(*f)
			}
		}
		if err != nil {
			return
		}
	}
}

func (j *judged) keep(f score.Finding) {
	if f.PublishedNS == 0 {
		f.PublishedNS = time.Now().UnixNano()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range j.findings {
		if old := &j.findings[i]; old.ID == f.ID {
			f.PublishedNS = min(f.PublishedNS, old.PublishedNS)
			*old = f
			return
		}
	}
	j.findings = append(j.findings, f)
}

// takeAll reads the whole list once more: grey sightings are not followed.
func (j *judged) takeAll(ctx context.Context) {
	answer, err := j.ask(ctx, "findings", "--grey", "--limit", strconv.Itoa(maxFindings))
	j.noteError("findings", err)
	j.collect(bytes.NewReader(answer))
}

func (j *judged) noteError(what string, err error) {
	if err != nil {
		j.note("%s: %v", what, err)
	}
}

func (j *judged) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.notes) < 20 {
		j.notes = append(j.notes, fmt.Sprintf(format, args...))
	}
}

// report asks for all that is judged. What cannot be had is a note, not an error: the rest is
// still judged, and what is missing counts against the product.
func (j *judged) report(ctx context.Context, in *score.Input) {
	j.takeAll(ctx)
	answer, err := j.ask(ctx, "incidents")
	if err == nil {
		in.Incidents, err = decodeIncidents(answer)
	}
	j.noteError("incidents", err)
	if answer, err = j.ask(ctx, "actions"); err == nil {
		in.Actions, err = decodeActions(answer)
	}
	j.noteError("actions", err)
	if answer, err = j.ask(ctx, "status"); err == nil {
		in.Events, err = decodeEvents(answer)
	}
	j.noteError("events seen and lost", err)
	j.mu.Lock()
	in.Findings = slices.Clone(j.findings)
	j.mu.Unlock()
	in.Traces = map[string]score.Trace{}
	for _, f := range in.Findings {
		if !f.AboveGrey() || len(in.Traces) >= maxTraces {
			continue
		}
		var trace score.Trace
		if answer, err = j.ask(ctx, "trace", f.ID); err == nil {
			trace, err = decodeTrace(answer)
		}
		if j.noteError("trace of finding "+f.ID, err); err == nil {
			in.Traces[f.ID] = trace
		}
	}
	j.mu.Lock()
	in.Notes = append(in.Notes, j.notes...)
	j.mu.Unlock()
}
