// SPDX-License-Identifier: Apache-2.0

package light

import (
	"fmt"
	"strconv"
	"strings"
)

type tokenKind uint8

const (
	tokEOF    tokenKind = iota
	tokBad              // text says what is wrong
	tokIdent            // rule, and, filesize, name…
	tokString           // $a, $a*, $
	tokCount            // #a, #
	tokOffset           // @a, @
	tokLength           // !a, !
	tokInt              // num
	tokText             // "…", decoded in text
	tokHex              // {…} after '=', raw inner text
	tokRegex            // /…/flags, raw pattern in text, flags in flags
	tokPunct            // one of ( ) { } [ ] : = , .. . == != <= >= < > + - * \ % & | ^ ~ << >>
)

// token is one word of rule text with its place: line and col count from 1,
// col in bytes.
type token struct {
	kind      tokenKind
	line, col int
	text      string
	flags     string
	num       int64
}

func (t token) is(punct string) bool { return t.kind == tokPunct && t.text == punct }
func (t token) word(w string) bool   { return t.kind == tokIdent && t.text == w }

func (t token) String() string {
	switch t.kind {
	case tokEOF:
		return "end of file"
	case tokText:
		return strconv.Quote(clip(t.text, 24))
	case tokHex:
		return "hex string"
	case tokRegex:
		return "/" + clip(t.text, 24) + "/"
	case tokString:
		return "$" + t.text
	case tokCount:
		return "#" + t.text
	case tokOffset:
		return "@" + t.text
	case tokLength:
		return "!" + t.text
	}
	return fmt.Sprintf("%q", t.text)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}

type lexer struct {
	src       string
	pos       int
	line      int
	lineStart int
	toks      []token
}

// lex splits src into tokens. It never fails: what it cannot read becomes a
// tokBad, so that only the rule around it is lost.
func lex(src string) []token {
	l := &lexer{src: src, line: 1}
	for l.next() {
	}
	return l.toks
}

func (l *lexer) add(kind tokenKind, start int, text string) *token {
	l.toks = append(l.toks, token{kind: kind, line: l.line, col: start - l.lineStart + 1, text: text})
	return &l.toks[len(l.toks)-1]
}

// bad records an error and skips the rest of the line.
func (l *lexer) bad(start int, why string) {
	l.add(tokBad, start, why)
	if i := strings.IndexByte(l.src[l.pos:], '\n'); i >= 0 {
		l.pos += i
	} else {
		l.pos = len(l.src)
	}
}

func (l *lexer) space() {
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case c == '\n':
			l.pos++
			l.line++
			l.lineStart = l.pos
		case c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v':
			l.pos++
		case strings.HasPrefix(l.src[l.pos:], "//"):
			if i := strings.IndexByte(l.src[l.pos:], '\n'); i >= 0 {
				l.pos += i
			} else {
				l.pos = len(l.src)
			}
		case strings.HasPrefix(l.src[l.pos:], "/*"):
			end := strings.Index(l.src[l.pos+2:], "*/")
			if end < 0 {
				l.bad(l.pos, "comment without an end")
				l.pos = len(l.src)
				return
			}
			l.newlines(l.pos, l.pos+2+end)
			l.pos += end + 4
		default:
			return
		}
	}
}

// newlines keeps line numbers right over a token that spans lines.
func (l *lexer) newlines(from, to int) {
	for i := from; i < to; i++ {
		if l.src[i] == '\n' {
			l.line++
			l.lineStart = i + 1
		}
	}
}

var puncts2 = []string{"..", "==", "!=", "<=", ">=", "<<", ">>"}

func (l *lexer) next() bool {
	l.space()
	if l.pos >= len(l.src) {
		l.add(tokEOF, l.pos, "")
		return false
	}
	start, c := l.pos, l.src[l.pos]
	switch {
	case c == '"':
		l.lexText()
	case c == '/':
		l.lexRegex()
	case c == '{' && len(l.toks) > 0 && l.toks[len(l.toks)-1].is("="):
		l.lexHex()
	case isWordStart(c):
		l.add(tokIdent, start, l.word())
	case c >= '0' && c <= '9':
		l.lexInt()
	case c == '$':
		l.pos++
		name := l.word()
		if l.pos < len(l.src) && l.src[l.pos] == '*' {
			l.pos++
			name += "*"
		}
		l.add(tokString, start, name)
	case c == '#' || c == '@' || c == '!' && !strings.HasPrefix(l.src[l.pos:], "!="):
		l.pos++
		kind := map[byte]tokenKind{'#': tokCount, '@': tokOffset, '!': tokLength}[c]
		l.add(kind, start, l.word())
	default:
		l.lexPunct()
	}
	return true
}

func (l *lexer) lexPunct() {
	start := l.pos
	for _, p := range puncts2 {
		if strings.HasPrefix(l.src[l.pos:], p) {
			l.pos += 2
			l.add(tokPunct, start, p)
			return
		}
	}
	if strings.IndexByte("(){}[]:=,.<>+-*\\%&|^~", l.src[start]) < 0 {
		l.bad(start, fmt.Sprintf("character %q has no meaning here", l.src[start]))
		return
	}
	l.pos++
	l.add(tokPunct, start, l.src[start:l.pos])
}

func isWordStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (l *lexer) word() string {
	start := l.pos
	for l.pos < len(l.src) && (isWordStart(l.src[l.pos]) || l.src[l.pos] >= '0' && l.src[l.pos] <= '9') {
		l.pos++
	}
	return l.src[start:l.pos]
}

func (l *lexer) lexInt() {
	start := l.pos
	text := l.word()
	mult := int64(1)
	digits := text
	if s, ok := strings.CutSuffix(text, "KB"); ok {
		digits, mult = s, 1<<10
	} else if s, ok := strings.CutSuffix(text, "MB"); ok {
		digits, mult = s, 1<<20
	}
	var n int64
	var err error
	switch {
	case strings.HasPrefix(digits, "0x"), strings.HasPrefix(digits, "0o"):
		n, err = strconv.ParseInt(digits, 0, 64)
	default:
		n, err = strconv.ParseInt(digits, 10, 64)
	}
	if err != nil || n > (1<<62)/mult {
		l.bad(start, fmt.Sprintf("%q is not a whole number this engine knows", clip(text, 32)))
		return
	}
	// "1.5" would be a float; "1..5" is a range.
	if rest := l.src[l.pos:]; len(rest) > 1 && rest[0] == '.' && rest[1] >= '0' && rest[1] <= '9' {
		l.bad(start, "floating point numbers are not supported")
		return
	}
	l.add(tokInt, start, text).num = n * mult
}

func (l *lexer) lexText() {
	start := l.pos
	l.pos++
	var b strings.Builder
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		l.pos++
		switch c {
		case '"':
			l.add(tokText, start, b.String())
			return
		case '\n':
			l.pos--
			l.bad(start, "text string without an end on its line")
			return
		case '\\':
			if !l.escape(&b) {
				l.bad(start, `unknown escape in text string; known are \" \\ \t \n \r \xNN`)
				return
			}
		default:
			b.WriteByte(c)
		}
	}
	l.bad(start, "text string without an end")
}

func (l *lexer) escape(b *strings.Builder) bool {
	if l.pos >= len(l.src) {
		return false
	}
	c := l.src[l.pos]
	l.pos++
	switch c {
	case '"', '\\':
		b.WriteByte(c)
	case 't':
		b.WriteByte('\t')
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	case 'x':
		if l.pos+2 > len(l.src) {
			return false
		}
		v, err := strconv.ParseUint(l.src[l.pos:l.pos+2], 16, 8)
		if err != nil {
			return false
		}
		b.WriteByte(byte(v))
		l.pos += 2
	default:
		return false
	}
	return true
}

func (l *lexer) lexRegex() {
	start := l.pos
	l.pos++
	for l.pos < len(l.src) {
		switch l.src[l.pos] {
		case '\\':
			l.pos++
		case '\n':
			l.bad(start, "regular expression without an end on its line")
			return
		case '/':
			pattern := l.src[start+1 : l.pos]
			l.pos++
			flags := l.pos
			for l.pos < len(l.src) && (l.src[l.pos] == 'i' || l.src[l.pos] == 's') {
				l.pos++
			}
			l.add(tokRegex, start, pattern).flags = l.src[flags:l.pos]
			return
		}
		l.pos++
	}
	l.pos = min(l.pos, len(l.src))
	l.bad(start, "regular expression without an end")
}

func (l *lexer) lexHex() {
	start := l.pos
	// Comments inside may hold a brace; skip over them to find the end.
	for i := l.pos + 1; i < len(l.src); i++ {
		switch rest := l.src[i:]; {
		case strings.HasPrefix(rest, "//"):
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest)
			}
			i += n
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest[2:], "*/")
			if n < 0 {
				n = len(rest)
			}
			i += n + 3
		case rest[0] == '}':
			l.add(tokHex, start, l.src[start+1:i])
			l.newlines(start, i)
			l.pos = i + 1
			return
		}
	}
	l.bad(start, "hex string without an end")
}
