// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/behaviour/sigma"
	"github.com/ringwall/ringwall/bundle"
	"github.com/ringwall/ringwall/file/light"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/ledger"
)

// ruleBook is the Sigma rules in force and what became of the others.
type ruleBook struct {
	set    *sigma.Set
	report *sigma.Report
}

// rules compiles the rules and says so on the health board.
func (b *Brain) rules(cfg Config) (*ruleBook, error) {
	set, report, err := compile(cfg.Rules)
	if err != nil {
		return nil, fmt.Errorf("compile Sigma rules: %w", err)
	}
	for _, r := range report.Refused {
		b.opt.Log.Warn("Sigma rule refused", "rule", r.String())
	}
	b.opt.Board.Set("behaviour.sigma", health.On, fmt.Sprintf("%d rules loaded, %d refused", report.Loaded, len(report.Refused)))
	return &ruleBook{set, report}, nil
}

// ownRules is the folder of rules that people made here; configured folders are theirs
// who configured them.
func (b *Brain) ownRules() string { return filepath.Join(b.opt.Data, "rules") }

// withOwn adds the rules made here to those configured.
func (b *Brain) withOwn(cfg Config) Config {
	if _, err := os.Stat(b.ownRules()); err == nil {
		dir, err := filepath.Abs(b.ownRules())
		if err == nil {
			cfg.Rules = append(slices.Clip(cfg.Rules), dir)
		}
	}
	return cfg
}

// Rule is one rule of any engine.
type Rule struct {
	ID          string
	Engine      string // sigma, yara
	Title       string
	Description string
	Level       string // of Sigma
	Score       float64
	Techniques  []string
	Tags        []string
	Source      string // file
	Line        int
	Author      string
	License     string
	Version     string
	About       string // log source of Sigma, language of YARA
	State       string // loaded, silent (no sensor gives what it asks for), refused
	Reason      string // why it is not at work
	Own         bool   // made here
	Hits        ledger.RuleHits
}

// Rules lists the rules that judge for a tenant, what its agents get among them, and
// those that were refused.
func (b *Brain) Rules(ctx context.Context, tenant string) ([]Rule, error) {
	hits, err := look(ctx, b, func(tx *ledger.Tx) (map[string]ledger.RuleHits, error) { return tx.HitsByRule(tenant) })
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	book, cfg := b.book, b.cfg
	b.mu.Unlock()
	missing := map[string][]string{}
	for _, n := range book.report.NeverFires {
		missing[n.ID] = n.Missing
	}
	var out []Rule
	for _, r := range book.set.Rules() {
		x := Rule{
			ID: r.ID, Engine: "sigma", Title: r.Title, Description: r.Description, Level: r.Level, Techniques: r.Techniques, Tags: r.Tags, Source: r.Path, Line: r.Line,
			Author: r.Author, License: r.License, Version: r.Version, About: r.LogSource.String(), State: "loaded", Own: b.madeHere(r.Path), Hits: hits[r.ID],
		}
		if m, never := missing[r.ID]; never {
			x.State, x.Reason = "silent", "no sensor here gives "+strings.Join(m, ", ")
		}
		out = append(out, x)
	}
	for i, r := range book.report.Refused {
		out = append(out, Rule{ID: fmt.Sprintf("refused-%d", i), Engine: "sigma", Title: filepath.Base(r.File), Source: r.File, Line: r.Line, State: "refused", Reason: r.Reason, Own: b.madeHere(r.File)})
	}
	files, err := fileRules(cfg.Bundles, hits)
	return append(out, files...), err
}

// fileRules are the YARA rules that agents get.
func fileRules(bundles Bundles, hits map[string]ledger.RuleHits) (out []Rule, err error) {
	dirs := map[string]bool{bundles.FileRules: true}
	for _, g := range bundles.Groups {
		dirs[g.FileRules] = true
	}
	seen := map[string]bool{}
	for dir := range dirs {
		rules, refused, err := light.Load(dir)
		if err != nil {
			return nil, err
		}
		for _, r := range rules.List() {
			id := "light/" + r.Name
			if r.Private || seen[r.Source+"/"+id] {
				continue
			}
			seen[r.Source+"/"+id] = true
			x := Rule{
				ID: id, Engine: "yara", Title: cmp.Or(r.Meta["description"], r.Name), Tags: r.Tags, Source: r.Source, Author: r.Meta["author"], License: r.Meta["license"],
				Version: rules.Version(), About: r.Meta["reads"], State: "loaded", Hits: hits[id], Score: light.Match{Meta: r.Meta}.Score(),
			}
			if t := r.Meta["technique"]; t != "" {
				x.Techniques = strings.Fields(strings.ReplaceAll(t, ",", " "))
			}
			out = append(out, x)
		}
		for _, r := range refused {
			out = append(out, Rule{ID: "light/" + r.Rule + ":refused", Engine: "yara", Title: r.Rule, Source: r.Source, Line: r.Line, State: "refused", Reason: r.Reason})
		}
	}
	slices.SortFunc(out, func(a, b Rule) int { return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

func (b *Brain) madeHere(path string) bool {
	dir, err := filepath.Abs(b.ownRules())
	return err == nil && strings.HasPrefix(path, dir+"/")
}

// RuleText gives a rule with the text of the file that it stands in.
func (b *Brain) RuleText(ctx context.Context, tenant, id string) (r Rule, text string, err error) {
	list, err := b.Rules(ctx, tenant)
	if err != nil {
		return r, "", err
	}
	i := slices.IndexFunc(list, func(r Rule) bool { return r.ID == id })
	if i < 0 {
		return r, "", fmt.Errorf("rule %q: %w", id, ErrNotFound)
	}
	r = list[i]
	raw, err := b.ruleFile(r)
	if err != nil {
		return r, "", fmt.Errorf("read rule %s: %w", id, err)
	}
	return r, string(raw), nil
}

func (b *Brain) ruleFile(r Rule) ([]byte, error) {
	if r.Engine == "yara" {
		if text, ok := light.Sources()[r.Source]; ok {
			return []byte(text), nil
		}
		b.mu.Lock()
		bundles := b.cfg.Bundles
		b.mu.Unlock()
		dirs := []string{bundles.FileRules}
		for _, g := range bundles.Groups {
			dirs = append(dirs, g.FileRules)
		}
		for _, dir := range dirs {
			if dir == "" {
				continue
			}
			if raw, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(r.Source))); err == nil {
				return raw, nil
			}
		}
		return nil, fmt.Errorf("%s: %w", r.Source, ErrNotFound)
	}
	own := sigma.Own()
	if rest, ok := strings.CutPrefix(r.Source, own.Name+"/"); ok {
		if raw, err := fs.ReadFile(own.FS, rest); err == nil {
			return raw, nil
		}
	}
	return os.ReadFile(r.Source)
}

// plainID is what a rule that is made here may be called, since its file bears the name.
var plainID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// idLine is the id of a rule's text.
var idLine = regexp.MustCompile(`(?m)^id:[ \t]*['"]?([^'"#\s]+)`)

// SaveRule puts a Sigma rule in force, for all tenants, and into the next bundles; one
// without an id gets one. The text of an id that was made here before is replaced.
func (b *Brain) SaveRule(ctx context.Context, tenant, who, text string) (id string, err error) {
	m := idLine.FindStringSubmatch(text)
	if m == nil {
		id = newRuleID()
		text = "id: " + id + "\n" + text
	} else {
		id = m[1]
	}
	if !plainID.MatchString(id) {
		return "", fmt.Errorf("%w: rule id %q; want letters, digits, dots and dashes, such as a UUID", ErrInput, id)
	}
	if err := soundRule(text); err != nil {
		return "", err
	}
	b.saving.Lock()
	defer b.saving.Unlock()
	path := filepath.Join(b.ownRules(), id+".yml")
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("save rule %s: %w", id, err)
	}
	if err := os.MkdirAll(b.ownRules(), 0o700); err != nil {
		return "", fmt.Errorf("save rule %s: %w", id, err)
	}
	if err := bundle.WriteFile(path, []byte(text)); err != nil {
		return "", fmt.Errorf("save rule %s: %w", id, err)
	}
	if err := b.reloadRules(ctx, id); err != nil {
		if before == nil {
			return "", errors.Join(err, os.Remove(path))
		}
		return "", errors.Join(err, bundle.WriteFile(path, before))
	}
	return id, b.audit(ctx, tenant, who, "save rule", id, strconv.Itoa(len(text))+" bytes of Sigma")
}

// newRuleID is a random UUID (RFC 9562, version 4), as the Sigma specification wants.
func newRuleID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// soundRule compiles a text by itself and says what is wrong with it.
func soundRule(text string) error {
	set, report, err := sigma.CompileText("rule", []byte(text), sigma.Options{Sensors: sigma.Sensors()})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInput, err)
	}
	if len(report.Refused) > 0 {
		return fmt.Errorf("%w: line %d: %s", ErrInput, report.Refused[0].Line, report.Refused[0].Reason)
	}
	if len(set.Rules()) == 0 {
		return fmt.Errorf("%w: there is no rule in it", ErrInput)
	}
	return nil
}

// reloadRules takes the rule files as they are now; want must be among what is loaded.
func (b *Brain) reloadRules(ctx context.Context, want string) error {
	b.mu.Lock()
	cfg := b.cfg
	b.mu.Unlock()
	book, err := b.rules(b.withOwn(cfg))
	if err != nil {
		return err
	}
	if want != "" && !slices.ContainsFunc(book.set.Rules(), func(r *sigma.Rule) bool { return r.ID == want && b.madeHere(r.Path) }) {
		for _, r := range book.report.Refused {
			if filepath.Base(r.File) == want+".yml" {
				return fmt.Errorf("%w: line %d: %s", ErrInput, r.Line, r.Reason)
			}
		}
		return fmt.Errorf("%w: rule %s was not loaded beside the others", ErrInput, want)
	}
	apply, err := b.Prepare(ctx, cfg)
	if err != nil {
		return err
	}
	_, err = apply(ctx)
	return err
}

// DropRule ends a rule that was made here.
func (b *Brain) DropRule(ctx context.Context, tenant, who, id string) error {
	b.saving.Lock()
	defer b.saving.Unlock()
	path := filepath.Join(b.ownRules(), id+".yml")
	if !plainID.MatchString(id) {
		return fmt.Errorf("rule %q: %w", id, ErrNotFound)
	}
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rule %q: %w; only rules made here can be removed here", id, ErrNotFound)
	} else if err != nil {
		return fmt.Errorf("remove rule %s: %w", id, err)
	}
	if err := b.reloadRules(ctx, ""); err != nil {
		return err
	}
	return b.audit(ctx, tenant, who, "drop rule", id, "")
}
