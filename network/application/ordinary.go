// SPDX-License-Identifier: Apache-2.0

package application

import (
	"bufio"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"sync"

	"github.com/coregx/ahocorasick"

	"github.com/ringwall/ringwall/event"
)

// Ordinary is the cheap first look: it recognises requests that hold nothing an attack
// could lie in. Everything else is not odd, only unjudged. Safe for many goroutines.
type Ordinary struct {
	files  *ahocorasick.Automaton // names of files that nobody should ask for
	agents *ahocorasick.Automaton // words of scanners' user agents

	mu    sync.Mutex // guards known
	known map[string]bool
}

// agentsKept bounds the user agents that are remembered: 4096 of at most maxAgent bytes
// are 1 MB.
const (
	agentsKept = 4096
	maxAgent   = 256
)

// NewOrdinary reads the word lists of the rule set under dir (Config.Rules), so that
// what the rules would object to is never white.
func NewOrdinary(dir string) (*Ordinary, error) {
	root, _, err := ruleFiles(dir)
	if err != nil {
		return nil, err
	}
	return newOrdinary(root)
}

func newOrdinary(root fs.FS) (o *Ordinary, err error) {
	o = &Ordinary{known: map[string]bool{}}
	if o.files, err = words(root, "restricted-files.data", "lfi-os-files.data", "ai-critical-artifacts.data"); err != nil {
		return nil, err
	}
	o.agents, err = words(root, "scanners-user-agents.data")
	return o, err
}

func words(root fs.FS, names ...string) (*ahocorasick.Automaton, error) {
	b := ahocorasick.NewBuilder()
	for _, name := range names {
		f, err := root.Open("@owasp_crs/" + name)
		if err != nil {
			return nil, fmt.Errorf("word list of the rule set: %w", err)
		}
		s := bufio.NewScanner(f)
		for s.Scan() {
			if w := strings.ToLower(strings.TrimSpace(s.Text())); w != "" && w[0] != '#' {
				b.AddPattern([]byte(w))
			}
		}
		f.Close()
		if err := s.Err(); err != nil {
			return nil, fmt.Errorf("word list %s of the rule set: %w", name, err)
		}
	}
	return b.Build()
}

// White tells whether the request is plainly ordinary: a GET or HEAD without body, whose
// target has plain segments and at most numbers as parameters, with headers that a
// browser sends.
func (o *Ordinary) White(a *event.HttpActivity) bool {
	req := a.GetRequest()
	if m := req.GetMethod(); m != "GET" && m != "HEAD" {
		return false
	}
	if a.GetBodyLen() != 0 || len(a.GetUploads()) != 0 || len(a.GetOddities()) != 0 || len(a.GetHeaders()) > maxHeaders {
		return false
	}
	for _, p := range a.GetParams() {
		if p.GetIn() != "query" {
			return false
		}
	}
	for _, h := range a.GetHeaders() {
		if !o.header(h.GetName(), h.GetValue()) {
			return false
		}
	}
	return o.agent(a.GetUserAgent()) && only(hostSet, req.GetHost()) && o.target(req.GetUri())
}

const maxPath = 256

// target: /plain/segments.ext?n=1&v=20
func (o *Ordinary) target(uri string) bool {
	path, query, _ := strings.Cut(uri, "?")
	if path == "" || path[0] != '/' || len(path) > maxPath || !only(pathSet, path) || !plainExt(path) {
		return false
	}
	if strings.Contains(path, "/.") && !strings.HasPrefix(path, "/.well-known/") || strings.Contains(path, "..") {
		return false
	}
	if o.files.IsMatch([]byte(strings.ToLower(path))) {
		return false
	}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if !plainPair(pair) {
			return false
		}
	}
	return true
}

// plainPair: a number, or a word that is given a number or a hashed secret.
func plainPair(pair string) bool {
	name, value, has := strings.Cut(pair, "=")
	if !has {
		return only(digitSet, pair)
	}
	return len(name) <= 32 && only(nameSet, name) && plainValue(value)
}

func plainValue(s string) bool { return len(s) <= 20 && only(digitSet, s) || hashed(s) }

// hashed: a secret that the sensor replaced; nothing more can be known of it.
func hashed(s string) bool {
	s, ok := strings.CutPrefix(s, "‹h:")
	if !ok {
		return false
	}
	s, ok = strings.CutSuffix(s, "›")
	return ok && len(s) == 12 && only(nameSet, s)
}

// plainExt: pages and what pages load.
func plainExt(path string) bool {
	last := path[strings.LastIndexByte(path, '/')+1:]
	i := strings.LastIndexByte(last, '.')
	if i < 0 {
		return true
	}
	switch strings.ToLower(last[i+1:]) {
	case "html", "htm", "php", "asp", "aspx", "jsp", "do", "css", "js", "mjs", "map", "json", "xml", "txt", "pdf",
		"png", "jpg", "jpeg", "gif", "svg", "ico", "webp", "avif", "woff", "woff2", "ttf", "eot", "mp3", "mp4", "webm", "ts", "m3u8", "wasm":
		return true
	}
	return false
}

// header tells whether one header is of those that browsers send and says what they say.
func (o *Ordinary) header(name, value string) bool {
	kind, ok := headerKinds[name]
	if !ok {
		kind = headerKinds[strings.ToLower(name)]
	}
	switch kind {
	case wordList:
		return len(value) <= maxValue && only(listSet, value)
	case quotedList:
		return len(value) <= maxValue && only(quotedSet, value)
	case hostName:
		return only(hostSet, value)
	case agentName:
		return o.agent(value)
	case link:
		return o.link(value)
	case cookies:
		return plainCookies(value)
	}
	return false
}

// link: an address of a page that is itself ordinary.
func (o *Ordinary) link(s string) bool {
	if s == "" || s == "null" {
		return true
	}
	rest, ok := strings.CutPrefix(s, "https://")
	if !ok {
		if rest, ok = strings.CutPrefix(s, "http://"); !ok {
			return false
		}
	}
	i := strings.IndexByte(rest, '/')
	if i < 0 {
		return only(hostSet, rest)
	}
	return only(hostSet, rest[:i]) && o.target(rest[i:])
}

// plainCookies: the sensor left names and hashes.
func plainCookies(s string) bool {
	for s != "" {
		var part string
		part, s, _ = strings.Cut(s, ";")
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if !only(nameSet, name) || value != "" && !hashed(value) && !only(nameSet, value) {
			return false
		}
	}
	return true
}

// A browser's user agent, or the name and version of a program.
var agentForm = regexp.MustCompile(`^(?:Mozilla/5\.0 \([A-Za-z0-9 ;:.,_/+-]{1,160}\)(?: (?:\(KHTML, like Gecko\)|like Gecko|Mobile|[A-Za-z]{2,20}/[0-9A-Za-z.]{1,24}))*|[A-Za-z][A-Za-z0-9._-]{1,31}/[0-9.]{1,16})$`)

func (o *Ordinary) agent(s string) bool {
	if s == "" {
		return true
	}
	if len(s) > maxAgent {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if plain, ok := o.known[s]; ok {
		return plain
	}
	if len(o.known) >= agentsKept {
		clear(o.known)
	}
	plain := agentForm.MatchString(s) && !o.agents.IsMatch([]byte(strings.ToLower(s))) && !o.files.IsMatch([]byte(strings.ToLower(s)))
	o.known[strings.Clone(s)] = plain
	return plain
}

type headerKind uint8

const (
	otherHeader headerKind = iota
	wordList
	quotedList
	hostName
	agentName
	link
	cookies
)

// headerKinds by the usual spelling and in lower case.
var headerKinds = func() map[string]headerKind {
	m := map[string]headerKind{}
	for kind, names := range map[headerKind][]string{
		wordList: {"Accept", "Accept-Encoding", "Accept-Language", "Connection", "Cache-Control", "Pragma", "Te", "DNT", "Priority",
			"Upgrade-Insecure-Requests", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User", "Sec-GPC", "Keep-Alive",
			"X-Requested-With", "If-Modified-Since", "Save-Data"},
		quotedList: {"Sec-Ch-Ua", "Sec-CH-UA", "Sec-Ch-Ua-Mobile", "Sec-CH-UA-Mobile", "Sec-Ch-Ua-Platform", "Sec-CH-UA-Platform",
			"Sec-Ch-Ua-Platform-Version", "Sec-Ch-Ua-Arch", "Sec-Ch-Ua-Model", "Sec-Ch-Ua-Bitness", "Sec-Ch-Ua-Full-Version-List", "If-None-Match", "If-Range"},
		hostName:  {"Host"},
		agentName: {"User-Agent"},
		link:      {"Referer", "Origin"},
		cookies:   {"Cookie"},
	} {
		for _, n := range names {
			m[n], m[strings.ToLower(n)] = kind, kind
		}
	}
	return m
}()

type charSet [256]bool

func setOf(chars string) *charSet {
	var s charSet
	for c := '0'; c <= '9'; c++ {
		s[c] = true
	}
	if chars == "" {
		return &s
	}
	for c := 'a'; c <= 'z'; c++ {
		s[c], s[c-32] = true, true
	}
	for i := range len(chars) {
		s[chars[i]] = true
	}
	return &s
}

var (
	digitSet  = setOf("")
	nameSet   = setOf("_.-")
	pathSet   = setOf("/_.~@-")
	hostSet   = setOf(".:-[]")
	listSet   = setOf(" ,;=./*+_:?-")
	quotedSet = setOf(` ,;=./*+_:?"()-`)
)

func only(set *charSet, s string) bool {
	for i := range len(s) {
		if !set[s[i]] {
			return false
		}
	}
	return true
}
