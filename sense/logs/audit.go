// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// parseAudit reads one record of the Linux audit system, `type=EXECVE
// msg=audit(1700000000.123:45): argc=2 a0="sh" a1="-c"`, and gives it back with secrets
// replaced. Values that the kernel wrote in hex because of a space or quote in them hide
// what the redactor looks for, so they are written as text. Keys typed at a terminal
// (TTY, USER_TTY) are nothing but secrets.
func parseAudit(line string, r Redactor) (string, time.Time) {
	at := auditTime(line)
	typ, _, _ := strings.Cut(strings.TrimPrefix(line, "type="), " ")
	words := strings.Split(line, " ")
	switch typ {
	case "TTY", "USER_TTY":
		for i, w := range words {
			if v, ok := strings.CutPrefix(w, "data="); ok {
				words[i] = "data=" + r.Hash(v)
			}
		}
		return strings.Join(words, " "), at
	case "EXECVE":
		return auditArgv(words, r), at
	}
	for i, w := range words {
		k, v, _ := strings.Cut(w, "=")
		switch k {
		case "proctitle":
			if s, ok := unhex(v); ok {
				words[i] = k + "=" + quote(strings.Join(r.Argv(strings.Split(s, "\x00")), " "))
			}
		case "cmd", "name", "acct", "comm", "exe", "cwd", "key":
			if s, ok := unhex(v); ok {
				words[i] = k + "=" + quote(s)
			}
		}
	}
	return r.Text(strings.Join(words, " ")), at
}

// auditArgv puts the arguments together, hides secrets and takes them apart again.
func auditArgv(words []string, r Redactor) string {
	var argv []string
	var at []int
	for i, w := range words {
		k, v, ok := strings.Cut(w, "=")
		if !ok || len(k) < 2 || k[0] != 'a' || k[1] < '0' || k[1] > '9' {
			continue
		}
		s, isHex := unhex(v)
		if !isHex {
			s = strings.Trim(v, `"`)
		}
		argv, at = append(argv, s), append(at, i)
	}
	for j, s := range r.Argv(argv) {
		k, _, _ := strings.Cut(words[at[j]], "=")
		words[at[j]] = k + "=" + quote(s)
	}
	return r.Text(strings.Join(words, " "))
}

// quote writes a value on one line.
func quote(s string) string {
	return `"` + strings.Map(func(c rune) rune {
		if c < ' ' || c == '"' {
			return ' '
		}
		return c
	}, clean(s)) + `"`
}

// unhex decodes the kernel's hex form (audit_log_n_hex: upper case, even). Numbers look
// alike, so only what decodes to text counts.
func unhex(v string) (string, bool) {
	if len(v) < 2 || len(v)%2 != 0 || strings.Trim(v, "0123456789ABCDEF") != "" {
		return "", false
	}
	b, err := hex.DecodeString(v)
	if err != nil || !utf8.Valid(b) || slices.ContainsFunc(b, func(c byte) bool { return c < ' ' && c != 0 && c != '\n' && c != '\t' }) {
		return "", false
	}
	return strings.TrimRight(string(b), "\x00"), true
}

// auditProcess gives a record's serial number and the process that the kernel wrote into
// it, 0 where there is none. What a program added stands behind msg='.
func auditProcess(line string) (serial string, pid uint32) {
	_, rest, ok := strings.Cut(line, "audit(")
	if !ok {
		return "", 0
	}
	_, rest, _ = strings.Cut(rest, ":")
	serial, rest, ok = strings.Cut(rest, ")")
	if !ok {
		return "", 0
	}
	rest, _, _ = strings.Cut(rest, "msg='")
	for w := range strings.FieldsSeq(rest) {
		if v, ok := strings.CutPrefix(w, "pid="); ok {
			return serial, number(v)
		}
	}
	return serial, 0
}

func auditTime(line string) time.Time {
	_, rest, ok := strings.Cut(line, "audit(")
	if !ok {
		return time.Time{}
	}
	stamp, _, ok := strings.Cut(rest, ":")
	sec, ms, _ := strings.Cut(stamp, ".")
	s, err := strconv.ParseInt(sec, 10, 64)
	if !ok || err != nil || s < 0 || s > 1<<33 {
		return time.Time{}
	}
	m, _ := strconv.ParseInt(ms, 10, 16)
	return time.Unix(s, max(0, min(m, 999))*int64(time.Millisecond))
}
