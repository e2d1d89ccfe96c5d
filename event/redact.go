// SPDX-License-Identifier: Apache-2.0

package event

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"regexp"
	"strings"
)

// Redactor replaces credentials by keyed hashes before anything is spooled, so that
// equality still correlates and the secret itself is nowhere. The key is per tenant
// and never leaves the agents and brain of that tenant. Safe for many goroutines.
type Redactor struct{ key []byte }

// NewRedactor takes the tenant's key, at least 16 random bytes.
func NewRedactor(key []byte) *Redactor { return &Redactor{key: append([]byte(nil), key...)} }

// Hash is what stands in for a secret: "‹h:" + 12 hex digits of HMAC-SHA-256 + "›".
// An empty secret stays empty; a value that is a hash already stays as it is.
func (r *Redactor) Hash(secret string) string {
	if secret == "" || strings.HasPrefix(secret, "‹h:") {
		return secret
	}
	m := hmac.New(sha256.New, r.key)
	m.Write([]byte(secret))
	return "‹h:" + hex.EncodeToString(m.Sum(nil)[:6]) + "›"
}

// KeyID names the key without telling it: hosts that have the same one write the same
// hash for the same secret.
func (r *Redactor) KeyID() string {
	m := hmac.New(sha256.New, r.key)
	m.Write([]byte("ringwall redaction key id")) // no secret looks like this: Hash gives fewer digits of it
	return hex.EncodeToString(m.Sum(nil)[8:16])
}

var (
	// Names of parameters, variables, flags and fields that hold a credential.
	secretName = regexp.MustCompile(`(?i)(pass(w(or)?d|phrase|code)?$|^pw$|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|auth($|[_-])|credential|^sid$|sess(ion)?[_-]?(id|key)|csrf|cvv|cvc|card[_-]?(no|num)|^pin$|otp$)`)
	// user:password@ in URLs. The password may hold a slash, which careless people do not
	// escape; isPort keeps host:8080/path/user@domain.
	userinfo = regexp.MustCompile(`(://[^/\s:@]*):([^\s@"'<>]+)@`)
	// name=value and name: value with a secret name, inside text; quotes kept.
	pairs = regexp.MustCompile(`(?i)([a-z0-9_.-]*(?:pass(?:w(?:or)?d|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|auth|credential|session[_-]?id)[a-z0-9_-]*["']?\s*(?:=|:|%3d)\s*["']?)([^\s"'&;,}]+)`)
	// Short names are secret only right before their value: pin=1234, and not pinned.
	short = regexp.MustCompile(`(?i)(\b(?:pin|cvc|cvv2?|otp|pw|[a-z]*sess(?:ion)?id|sid)(?:=|%3d))([^\s"'&;,}]+)`)
	// <password>value</password>, and the part of a multipart body behind its name.
	tagged = regexp.MustCompile(`(?i)(<[a-z0-9_:.-]*(?:pass|(?:pass(?:w(?:or)?d|phrase|code)|pwd|secret|token|api[_-]?key|credential)[a-z0-9_-]*)(?:\s[^<>]*)?>)([^<]+)`)
	part   = regexp.MustCompile(`(?i)(\bname=["']?[a-z0-9_.-]*(?:pass|(?:pass(?:w(?:or)?d|phrase|code)|pwd|secret|token|api[_-]?key|credential)[a-z0-9_-]*)["']?(?:\s|\\[rn])+)([^\s-]\S*)`)
	// Schemes of HTTP authentication.
	scheme = regexp.MustCompile(`(?i)\b((?:bearer|basic|digest|negotiate)\s+)([a-z0-9+/=._~-]{6,})`)
	// Flags whose value is the next word, or glued on: redis-cli -a, sshpass -p, mysql -pX, curl -u u:p, --password X.
	flagNext = regexp.MustCompile(`(?i)(\bsshpass(?:\s+|\+|%20)-p(?:\s+|\+|%20)?|\bredis-cli\b[^|;&]*?(?:\s|\+|%20)-a(?:\s+|\+|%20)|--(?:pass(?:word)?|token|secret|auth|requirepass|api-key)(?:\s+|\+|%20|=|%3d)|\bcurl\b[^|;&]*?\s(?:-u|--user)\s*[^\s:]+:|\bmysql(?:dump|admin)?\b[^|;&]*?\s-p|\bAUTH(?:\s+|\+|%20)(?:default(?:\s+|\+|%20))?)([^\s"'&;|]+)`)
	// 13 to 19 digits, perhaps in groups, perhaps in a form.
	digits = regexp.MustCompile(`\b\d(?:(?:[ +-]|%20)?\d){12,18}\b`)
)

// Secret tells whether a field of that name holds a credential.
func Secret(name string) bool {
	if name == "PWD" || name == "OLDPWD" { // the shell's folders, not passwords
		return false
	}
	return maySecret(name) && secretName.MatchString(name)
}

// Text replaces the credentials that free text shows: pairs, URLs with user
// information, authentication schemes, well-known flags and card numbers.
func (r *Redactor) Text(s string) string {
	if len(s) < 4 {
		return s
	}
	sub := func(re *regexp.Regexp, s string) string {
		return re.ReplaceAllStringFunc(s, func(m string) string {
			g := re.FindStringSubmatch(m)
			return g[1] + r.Hash(g[2])
		})
	}
	if strings.Contains(s, "://") {
		s = userinfo.ReplaceAllStringFunc(s, func(m string) string {
			g := userinfo.FindStringSubmatch(m)
			if isPort(g[2]) {
				return m
			}
			return g[1] + ":" + r.Hash(g[2]) + "@"
		})
	}
	h := hintsOf(s)
	if h&mayScheme != 0 {
		s = sub(scheme, s)
	}
	if h&mayFlag != 0 {
		s = sub(flagNext, s)
	}
	if h&mayPair != 0 {
		s = sub(pairs, s)
		if strings.Contains(s, "<") {
			s = sub(tagged, s)
		}
		if strings.Contains(s, "name=") {
			s = sub(part, s)
		}
	}
	if h&mayShort != 0 {
		s = sub(short, s)
	}
	if h&mayDigits == 0 {
		return s
	}
	return digits.ReplaceAllStringFunc(s, func(m string) string {
		if luhn(m) {
			return r.Hash(m)
		}
		return m
	})
}

// isPort tells whether what follows a colon is a port and a path: digits up to the
// path, query or fragment.
func isPort(s string) bool {
	end := strings.IndexAny(s, "/?#")
	for i := range max(end, 0) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return end > 0
}

// luhn checks the card number's check digit (ISO/IEC 7812-1 annex B).
func luhn(s string) bool {
	sum, n := 0, 0
	s = strings.ReplaceAll(s, "%20", " ")
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] < '0' || s[i] > '9' {
			continue
		}
		d := int(s[i] - '0')
		if n%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
		n++
	}
	return n >= 13 && sum%10 == 0
}

// Param is the value of a named parameter, header field of a form or JSON member.
func (r *Redactor) Param(name, value string) string {
	if Secret(name) {
		return r.Hash(value)
	}
	return r.Text(value)
}

var secretHeaders = map[string]bool{"authorization": true, "proxy-authorization": true, "x-api-key": true, "x-auth-token": true}

// Header is the value of an HTTP header. Cookies keep their names.
func (r *Redactor) Header(name, value string) string {
	switch n := strings.ToLower(name); {
	case n == "cookie":
		parts := strings.Split(value, ";")
		for i, p := range parts {
			k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
			parts[i] = k + "=" + r.Hash(v)
		}
		return strings.Join(parts, "; ")
	case n == "set-cookie":
		first, rest, _ := strings.Cut(value, ";")
		k, v, _ := strings.Cut(first, "=")
		if rest != "" {
			rest = ";" + rest
		}
		return k + "=" + r.Hash(v) + rest
	case n == "referer" || n == "location" || n == "origin":
		return r.URI(value)
	case secretHeaders[n] || Secret(n):
		return r.Hash(value)
	}
	return r.Text(value)
}

// URI replaces secret query values in a request target or URL; everything else
// stays byte for byte, so that all sensors write the same target.
func (r *Redactor) URI(uri string) string {
	path, query, ok := strings.Cut(uri, "?")
	if !ok {
		return r.Text(uri)
	}
	parts := strings.Split(query, "&")
	for i, p := range parts {
		k, v, has := strings.Cut(p, "=")
		if !has {
			continue
		}
		if name, err := url.QueryUnescape(k); err == nil && Secret(name) {
			if plain, err := url.QueryUnescape(v); err == nil {
				v = plain
			}
			parts[i] = k + "=" + r.Hash(v)
			continue
		}
		parts[i] = k + "=" + r.Text(v)
	}
	return r.Text(path) + "?" + strings.Join(parts, "&")
}

// Argv replaces what follows a secret flag and what a word itself shows.
func (r *Redactor) Argv(argv []string) []string {
	out := make([]string, len(argv))
	hash := false
	for i, a := range argv {
		switch {
		case hash:
			out[i], hash = r.Hash(a), false
		case i > 0 && takesSecret(argv[0], a):
			out[i], hash = a, true
		case i > 0 && strings.HasSuffix(argv[0], "curl") && (argv[i-1] == "-u" || argv[i-1] == "--user") && strings.Contains(a, ":"):
			u, p, _ := strings.Cut(a, ":")
			out[i] = u + ":" + r.Hash(p)
		default:
			k, v, ok := strings.Cut(a, "=")
			if ok && Secret(strings.TrimLeft(k, "-")) {
				out[i] = k + "=" + r.Hash(v)
				continue
			}
			out[i] = r.glued(argv[0], r.Text(a))
		}
	}
	return out
}

// takesSecret tells whether the word is a flag whose value follows as its own word.
func takesSecret(program, word string) bool {
	base := program[strings.LastIndexByte(program, '/')+1:]
	switch {
	case base == "redis-cli" && (word == "-a" || word == "--pass"), base == "sshpass" && word == "-p", base == "redis-server" && word == "--requirepass":
		return true
	case strings.HasPrefix(word, "--") && !strings.Contains(word, "="):
		return Secret(word[2:])
	}
	return base == "openssl" && (word == "-passin" || word == "-passout" || word == "-k")
}

// glued hashes "-pSECRET" of the programs that take it so.
func (r *Redactor) glued(program, word string) string {
	base := program[strings.LastIndexByte(program, '/')+1:]
	if (strings.HasPrefix(base, "mysql") || strings.HasPrefix(base, "mariadb") || base == "sshpass") && len(word) > 2 && strings.HasPrefix(word, "-p") {
		return "-p" + r.Hash(word[2:])
	}
	return word
}

// Env keeps names; values of secret names are hashed, others are read as text.
func (r *Redactor) Env(env []string) []string {
	out := make([]string, len(env))
	for i, e := range env {
		k, v, ok := strings.Cut(e, "=")
		if !ok {
			out[i] = r.Text(e)
			continue
		}
		out[i] = k + "=" + r.Param(k, v)
	}
	return out
}
