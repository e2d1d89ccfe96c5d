// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// variable is a name whose value the seed chooses: one of several texts (which may hold other
// variables), or a number of a range.
type variable struct {
	texts    []string
	from, to int
	line     int
}

// standard variables; a file's own of the same name win. They name what the lab's services need.
// The first value is the plain one: what a file with steps never asks for stands there, so that
// it may write /upload.php and 6379 as they are.
var standard = map[string]variable{
	"site":           {texts: []string{"board", "desk", "pinwall", "journal", "kiosk"}},
	"site_root":      {texts: []string{"/var/www/html", "/var/www/${site}", "/srv/www/${site}"}},
	"notes_page":     {texts: []string{"notes.php", "list.php", "all.php"}},
	"upload_page":    {texts: []string{"upload.php", "add.php", "send.php", "new.php"}},
	"upload_dir":     {texts: []string{"uploads", "files", "media", "attached"}},
	"status_page":    {texts: []string{"status.php", "admin.php", "overview.php"}},
	"config_path":    {texts: []string{"/etc/${site}.ini", "${site_root}/inc/app.ini", "/etc/${site}/app.ini"}},
	"web_port":       {texts: []string{"80", "8080", "8000", "8888"}},
	"redis_port":     {texts: []string{"6379", "6380", "7001"}},
	"ssh_port":       {texts: []string{"22", "2222"}},
	"redis_password": {texts: []string{"fake-r${nonce}"}},
	"ops_password":   {texts: []string{"fake-o${nonce}"}},
}

var hostNames = map[string][]string{
	"web": {"web1", "www", "portal", "front2"}, "data": {"db1", "store", "cache1", "redis2"},
	"attacker": {"kite", "visitor9", "host77"}, "client1": {"desk-anna", "pc-104", "ws1"},
	"client2": {"desk-ben", "pc-207", "ws2"}, "brain": {"watch", "central", "soc1"},
}

func (p *parser) choose(seed *uint64) error {
	if n := child(p.root, "seed"); n != nil && seed == nil {
		v, err := strconv.ParseUint(n.Value, 10, 64)
		if err != nil {
			return p.errorf(n.Line, "seed %q is no number", n.Value)
		}
		seed = &v
	}
	if seed != nil {
		p.seed = *seed
	}
	p.vars = maps.Clone(standard)
	if child(p.root, "steps") != nil {
		asked := map[string]bool{}
		asksFor(p.root, asked)
		for name, v := range p.vars {
			if !asked[name] {
				p.vars[name] = variable{texts: v.texts[:1]}
			}
		}
	}
	if err := p.readVars(child(p.root, "vars")); err != nil {
		return err
	}
	p.names = map[string]string{"nonce": fmt.Sprintf("%08x", p.random("nonce").Uint32())}
	if err := p.placeHosts(child(p.root, "hosts")); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(p.vars)) {
		if _, err := p.value(name, p.vars[name].line, 0); err != nil {
			return err
		}
	}
	return nil
}

// asksFor collects the variables that the file names, and those that these are made of.
func asksFor(n *yaml.Node, asked map[string]bool) {
	for _, ref := range reference.FindAllStringSubmatch(n.Value, -1) {
		if name := ref[1]; !asked[name] {
			asked[name] = true
			for _, text := range standard[name].texts {
				asksFor(&yaml.Node{Value: text}, asked)
			}
		}
	}
	for _, c := range n.Content {
		asksFor(c, asked)
	}
}

// random gives each name a stream of its own, so that a new variable does not move the others.
func (p *parser) random(name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(p.seed, h.Sum64()))
}

func (p *parser) readVars(n *yaml.Node) error {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return p.errorf(n.Line, "vars is a mapping of names to values")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		v := variable{line: key.Line}
		switch value.Kind {
		case yaml.ScalarNode:
			v.texts = []string{value.Value}
		case yaml.SequenceNode:
			for _, item := range value.Content {
				v.texts = append(v.texts, item.Value)
			}
		case yaml.MappingNode:
			var span struct{ From, To int }
			if err := value.Decode(&span); err != nil || span.From < 0 || span.To < span.From {
				return p.errorf(value.Line, "variable %q: a range is {from: 20000, to: 30000}", key.Value)
			}
			v.from, v.to = span.From, span.To
		}
		if value.Kind != yaml.MappingNode && len(v.texts) == 0 {
			return p.errorf(value.Line, "variable %q has no value to choose from", key.Value)
		}
		p.vars[key.Value] = v
	}
	return nil
}

// placeHosts gives every role a name and an address in a network of the seed's choice.
func (p *parser) placeHosts(n *yaml.Node) error {
	if n == nil || n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		return p.errorf(p.line("hosts"), "hosts is missing; write hosts: {web: [nginx], attacker: []}")
	}
	p.machines = map[string]Machine{}
	random := p.random("network")
	second, third := byte(random.IntN(200)+20), byte(random.IntN(250)+1)
	last := random.Perm(240)
	if len(n.Content)/2 > 32 {
		return p.errorf(n.Line, "%d hosts are more than a lab may have (32)", len(n.Content)/2)
	}
	roles := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		roles[n.Content[i].Value] = n.Content[i].Line
	}
	for i, role := range slices.Sorted(maps.Keys(roles)) {
		if !roleName.MatchString(role) {
			return p.errorf(roles[role], "host %q: a role is a short word of a-z and 0-9", role)
		}
		m := Machine{Role: role, Addr: netip.AddrFrom4([4]byte{10, second, third, byte(last[i] + 8)})}
		m.Name = role
		if names := hostNames[role]; names != nil {
			m.Name = names[p.random("host "+role).IntN(len(names))]
		}
		var services []string
		if err := child(n, role).Decode(&services); err != nil {
			return p.errorf(roles[role], "host %q: its services are a list, such as [nginx, php-fpm]", role)
		}
		m.Services = services
		p.machines[role] = m
		p.names[role+".name"], p.names[role+".addr"] = m.Name, m.Addr.String()
	}
	return nil
}

var (
	roleName  = regexp.MustCompile(`^[a-z][a-z0-9]{0,15}$`)
	reference = regexp.MustCompile(`\$\{([a-z0-9_.]+)\}`)
)

// value chooses a variable's value once; texts may hold other variables.
func (p *parser) value(name string, line, depth int) (string, error) {
	if v, ok := p.names[name]; ok {
		return v, nil
	}
	v, ok := p.vars[name]
	if !ok {
		known := slices.Sorted(maps.Keys(p.vars))
		return "", p.errorf(line, "variable %q is not known; known are nonce, ROLE.name, ROLE.addr, %s", name, strings.Join(known, ", "))
	}
	if depth > 8 {
		return "", p.errorf(line, "variable %q leads back to itself", name)
	}
	text := ""
	if v.texts == nil {
		text = strconv.Itoa(v.from + p.random(name).IntN(v.to-v.from+1))
	} else {
		var err error
		if text, err = p.substitute(v.texts[p.random(name).IntN(len(v.texts))], line, depth+1); err != nil {
			return "", err
		}
	}
	p.names[name] = text
	return text, nil
}

// maxText bounds what one text may become: variables that hold variables could grow without end.
const maxText = 64 << 10

func (p *parser) substitute(text string, line, depth int) (string, error) {
	var fault error
	text = reference.ReplaceAllStringFunc(text, func(ref string) string {
		if fault != nil {
			return ""
		}
		v, err := p.value(ref[2:len(ref)-1], line, depth)
		fault = err
		return v
	})
	if fault == nil && len(text) > maxText {
		fault = p.errorf(line, "a text grows beyond %d bytes", maxText)
	}
	return text, fault
}

// expand puts the chosen values into every value of the tree. A value that was only a variable may
// be a number afterwards, also in the quotes that {local_port: "${port}"} needs.
func (p *parser) expand(n *yaml.Node, key string, skip map[string]bool) error {
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "${") {
		text, err := p.substitute(n.Value, n.Line, 0)
		if err != nil {
			return err
		}
		if n.Style == 0 || reference.FindString(n.Value) == n.Value {
			n.Tag, n.Style = "", 0
		}
		n.Value = text
		return nil
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && skip[n.Content[i-1].Value] {
			continue
		}
		if err := p.expand(c, key, nil); err != nil {
			return err
		}
	}
	return nil
}
