// SPDX-License-Identifier: Apache-2.0

// Package scenario reads the data files that say what is played in the range and what is true.
//
// In: a YAML file and a seed. Out: a Scenario in which every name, port and path is chosen, and
// every reference (a step's host, what it needs, what caused an entity) is known to exist.
//
// It believes nothing of the product that is judged: ground truth consists of what the runner
// itself decides (source ports, file names, nonces in arguments) and of what a step prints.
//
// Worst trap: a truth entity without a mark (nothing of it that a foreign product could print)
// can never be found and silently counts as missed. Load refuses it.
package scenario

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Scenario is one file, with the seed's choices made.
type Scenario struct {
	ID    string `yaml:"id"`
	About string `yaml:"about"`
	Seed  uint64 `yaml:"seed"` // used when the caller gives none
	// Minutes of ordinary work in all; 0 means as long as the steps and Ordinary need.
	Minutes    float64             `yaml:"minutes"`
	Limits     Limits              `yaml:"limits"`
	Hosts      map[string][]string `yaml:"hosts"` // role to services
	Vars       map[string]any      `yaml:"vars"`  // raw; the choices are in Names
	Files      []Placed            `yaml:"files"` // laid out on hosts before anything watches
	Warmup     Duration            `yaml:"warmup"`
	Pause      Duration            `yaml:"pause"`    // longest pause between steps; the seed picks
	Ordinary   int                 `yaml:"ordinary"` // least number of ordinary requests
	Background []Background        `yaml:"background"`
	Steps      []Step              `yaml:"steps"`
	Expect     Expect              `yaml:"expect"`
	File       string              `yaml:"-"`
	Names      map[string]string   `yaml:"-"` // every variable with the value chosen
	Machines   map[string]Machine  `yaml:"-"` // role to name and address
}

// Machine is what the seed decided about a host.
type Machine struct {
	Role, Name string
	Addr       netip.Addr
	Services   []string
}

// Limits bound a run: Wall ends it, Requests ends its ordinary work.
type Limits struct {
	Wall     Duration `yaml:"wall"`
	Requests int      `yaml:"requests"`
}

// Placed is a file of the scenario's own on a host: a weak page, a key, a program. Text is written
// as it is; From names a file beside the scenario.
type Placed struct {
	Host  string `yaml:"host"`
	Path  string `yaml:"path"`
	Text  string `yaml:"text"`
	From  string `yaml:"from"`
	Owner string `yaml:"owner"` // account; root when empty
	Mode  string `yaml:"mode"`  // octal; 0644 when empty
}

// Perm is the file's mode. Load has checked it.
func (p Placed) Perm() os.FileMode {
	n, err := strconv.ParseUint(cmp.Or(p.Mode, "644"), 8, 12)
	if err != nil {
		return 0o644
	}
	return os.FileMode(n)
}

// Background is a benign play that runs beside the steps.
type Background struct {
	Play    string   `yaml:"play"`
	Every   Duration `yaml:"every"`    // pause between two runs; 0 is the play's own
	AtLeast int      `yaml:"at_least"` // runs that must be made before the scenario ends
}

// Step is one deed of the attack.
type Step struct {
	ID     string   `yaml:"id"`
	On     string   `yaml:"on"`
	Needs  Needs    `yaml:"needs"` // steps, or entities of steps, without which this one cannot be tried
	Do     Action   `yaml:"do"`
	Works  Works    `yaml:"works"`
	Attack []string `yaml:"attack"` // ATT&CK techniques
	Truth  []Entity `yaml:"truth"`
	Expect StepWant `yaml:"expect"`
	Line   int      `yaml:"-"`
}

// Needs are steps. A file may write one word instead of a list, and an entity's short name for the
// step that makes it; Load leaves steps only.
type Needs []string

// UnmarshalYAML reads a word or a list of words.
func (n *Needs) UnmarshalYAML(v *yaml.Node) error {
	if v.Kind == yaml.ScalarNode {
		*n = Needs{v.Value}
		return nil
	}
	return v.Decode((*[]string)(n))
}

// Action is exactly one of its members.
type Action struct {
	Scan     *Scan     `yaml:"scan"`
	Discover *Discover `yaml:"discover"`
	HTTP     *HTTP     `yaml:"http"`
	Shell    *Shell    `yaml:"shell"`
	Type     *Type     `yaml:"type"`
	Run      *Run      `yaml:"run"`
}

// Scan is a TCP SYN scan.
type Scan struct {
	To    string `yaml:"to"`
	Ports string `yaml:"ports"` // as nmap takes them
}

// Discover asks for a list of paths that may not exist.
type Discover struct {
	To    string   `yaml:"to"`
	Paths []string `yaml:"paths"`
	Agent string   `yaml:"agent"`
}

// HTTP is one request.
type HTTP struct {
	To        string            `yaml:"to"`
	Method    string            `yaml:"method"` // GET when empty
	Path      string            `yaml:"path"`
	Query     map[string]string `yaml:"query"` // encoded by the client
	Form      map[string]string `yaml:"form"`  // fields of the body; with File, of the same multipart form
	File      *Upload           `yaml:"file"`
	Body      string            `yaml:"body"` // sent as it is; the method is PUT when none is named
	Header    map[string]string `yaml:"header"`
	LocalPort int               `yaml:"local_port"` // source port; 0 lets the kernel choose
}

// Upload is one part of a multipart form. A file may write the name of a file beside the scenario
// instead of the mapping.
type Upload struct {
	Field string `yaml:"field"` // the weak page's own when empty
	Name  string `yaml:"name"`  // what the client calls the file
	Type  string `yaml:"type"`
	Body  string `yaml:"body"`
	From  string `yaml:"from"` // a file beside the scenario, whose bytes are Body
}

// UnmarshalYAML reads the name of a file or a mapping.
func (u *Upload) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		u.From = n.Value
		return nil
	}
	type plain Upload
	return n.Decode((*plain)(u))
}

// Shell is something to type into; later steps do so by this step's id. With Listen it is the
// shell that comes back to that port because of the request By or the script Run; without, it is
// Run itself, such as ssh.
type Shell struct {
	Listen int    `yaml:"listen"`
	By     *HTTP  `yaml:"by"`
	Run    *Run   `yaml:"run"`
	To     string `yaml:"to"` // the host on which the shell runs; By's when empty
}

// At is the role on which the shell runs.
func (s *Shell) At() string {
	if s.To == "" && s.By != nil {
		return s.By.To
	}
	return s.To
}

// Type types a line into a shell.
type Type struct {
	Into string `yaml:"into"` // id of a shell step
	Line string `yaml:"line"`
}

// Run runs a script on the step's host.
type Run struct {
	User   string `yaml:"user"`
	Script string `yaml:"script"`
}

// Works says how the runner knows that a step had its effect. All that is stated must hold; none
// stated means that the action's own success is enough.
type Works struct {
	Output string `yaml:"output"` // text in what the step printed
	Host   string `yaml:"host"`
	File   string `yaml:"file"`  // exists on Host
	Holds  string `yaml:"holds"` // text in that file
}

// Entity is one thing that is truly part of the attack. Kind is request, file, process,
// connection or login.
type Entity struct {
	Kind   string   `yaml:"kind"`
	As     string   `yaml:"as"`
	Host   string   `yaml:"host"`
	Path   string   `yaml:"path"`
	Client string   `yaml:"client"` // role:port
	Method string   `yaml:"method"`
	URI    string   `yaml:"uri"`   // path, without query
	To     string   `yaml:"to"`    // role:port at the other end
	Argv   string   `yaml:"argv"`  // words of the command line that only this process has
	Argv0  string   `yaml:"argv0"` // the program's name; others may bear it too
	Entry  bool     `yaml:"entry"`
	By     string   `yaml:"by"`   // the entity that caused it
	Runs   string   `yaml:"runs"` // the file that it runs
	Marks  []string `yaml:"marks"`
}

// StepWant is what the step's author expects to see.
type StepWant struct {
	Layers      map[string]string `yaml:"layers"` // layer or layer.stage to colour
	AlertWithin Duration          `yaml:"alert_within"`
	Unseen      bool              `yaml:"unseen"` // no finding is owed (a scan of closed ports)
}

// Expect is what the whole scenario should give.
type Expect struct {
	Incidents int     `yaml:"incidents"`
	Entry     string  `yaml:"entry"`
	Members   Members `yaml:"members"`
	Actions   Actions `yaml:"actions"`
}

// Members of the incident.
type Members struct {
	Must    []string `yaml:"must"`
	MustNot []string `yaml:"must_not"`
}

// Actions wanted in enforce mode, and targets that no action may touch.
type Actions struct {
	Enforce []string `yaml:"enforce"` // a role or an entity, with or without a verb: "block attacker", f1
	Never   []string `yaml:"never"`
}

// Duration is a time.Duration written as 1m30s.
type Duration time.Duration

// UnmarshalYAML reads 90s, 1m30s and the like.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil || v < 0 {
		return &lineError{n.Line, fmt.Sprintf("%q is no duration such as 90s", n.Value)}
	}
	*d = Duration(v)
	return nil
}

// Entities lists the truth of all steps in order.
func (s *Scenario) Entities() []Entity {
	var all []Entity
	for _, step := range s.Steps {
		all = append(all, step.Truth...)
	}
	return all
}

// Entity finds a truth entity by its short name.
func (s *Scenario) Entity(as string) (Entity, bool) {
	for _, e := range s.Entities() {
		if e.As == as {
			return e, true
		}
	}
	return Entity{}, false
}

// EntryOf follows what caused an entity to the entry of its intrusion: the entity itself when it is
// one, and false for what no entry caused, such as a scan before it.
func (s *Scenario) EntryOf(e Entity) (Entity, bool) {
	for range len(s.Steps) + 64 {
		if e.Entry || e.As == s.Expect.Entry {
			return e, true
		}
		cause, ok := s.Entity(cmp.Or(e.By, e.Runs))
		if !ok {
			return Entity{}, false
		}
		e = cause
	}
	return Entity{}, false
}

// Entries are the entries of all intrusions, expect.entry first.
func (s *Scenario) Entries() []Entity {
	var all []Entity
	if main, ok := s.Entity(s.Expect.Entry); ok {
		all = append(all, main)
	}
	for _, e := range s.Entities() {
		if e.Entry && e.As != s.Expect.Entry {
			all = append(all, e)
		}
	}
	return all
}

// Attacker says whether a role is an attacker's: nobody defends its host.
func Attacker(role string) bool { return strings.HasPrefix(role, "attacker") }

// Endpoint turns "role:port" into address and port. Both parts were checked by Load.
func (s *Scenario) Endpoint(text string) netip.AddrPort {
	role, port, _ := cutLast(text)
	return netip.AddrPortFrom(s.Machines[role].Addr, port)
}
