// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"strings"

	"github.com/ringwall/ringwall/event"
)

// session reads `pam_unix(sshd:session): session opened for user bob(uid=1000) by (uid=0)`.
// It is no outcome: the outcome was told before it.
func session(text, service string) (login, bool) {
	_, rest, ok := strings.Cut(text, "): session ")
	if !ok {
		return login{}, false
	}
	word, rest, ok := strings.Cut(rest, " for user ")
	if !ok || word != "opened" && word != "closed" {
		return login{}, false
	}
	user, _, _ := strings.Cut(rest, " by ")
	user, _, _ = strings.Cut(user, "(uid=")
	return login{User: user, Known: true, Service: service, Method: "session " + word}, true
}

// parsePam reads pam_unix's lines of any service:
// `pam_unix(su:auth): authentication failure; logname= uid=33 euid=0 tty=… ruser=www-data rhost=  user=root`.
func parsePam(text string) ([]login, bool) {
	rest, ok := strings.CutPrefix(text, "pam_unix(")
	if !ok {
		return nil, true
	}
	head, rest, ok := strings.Cut(rest, "): ")
	if !ok {
		return nil, true
	}
	service, kind, _ := strings.Cut(head, ":")
	service = strings.TrimSuffix(service, "-l")
	if kind == "session" {
		if a, ok := session(text, service); ok {
			return []login{a}, false
		}
		return nil, true
	}
	if !strings.HasPrefix(rest, "authentication failure;") {
		return nil, true
	}
	a := login{Outcome: event.Authentication_FAILURE, Service: service, Method: "pam", Known: true, User: value(rest, " user=")}
	if from := value(rest, " ruser="); from != "" {
		a.Method = "by " + from
	}
	if a.User == "" {
		return nil, true // an unknown name, which may be a password
	}
	return []login{a}, false
}

// value gives the word behind a key, read from the end: what the attacker chose stands
// before it.
func value(s, key string) string {
	i := strings.LastIndex(s, key)
	if i < 0 {
		return ""
	}
	word, _, _ := strings.Cut(s[i+len(key):], " ")
	return word
}

// parseSu reads util-linux's `(to root) bob on pts/0`, `FAILED SU (to root) bob on pts/0`
// and shadow's `Successful su for root by bob`, `FAILED su for root by bob`.
func parseSu(text string) ([]login, bool) {
	a := login{Outcome: event.Authentication_SUCCESS, Service: "su", Known: true}
	rest := text
	if after, failed := cutFold(text, "failed su "); failed {
		rest, a.Outcome = after, event.Authentication_FAILURE
	} else if after, ok := cutFold(text, "successful su "); ok {
		rest = after
	} else if !strings.HasPrefix(text, "(to ") {
		if facts, keep := parsePam(text); len(facts) == 1 && facts[0].Outcome == 0 {
			return facts, keep
		}
		return nil, true // pam's failure is followed by su's own
	}
	var by string
	var ok bool
	if to, isTo := strings.CutPrefix(rest, "(to "); isTo {
		a.User, by, ok = strings.Cut(to, ") ")
		if i := strings.LastIndex(by, " on "); i >= 0 {
			by = by[:i]
		}
	} else {
		a.User, by, ok = strings.Cut(strings.TrimPrefix(rest, "for "), " by ")
	}
	if !ok {
		return nil, true
	}
	a.Method = "by " + by
	return []login{a}, true
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// parseSudo reads `bob : TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/bin/ls` and its
// refusals (`3 incorrect password attempts ; …`, `user NOT in sudoers ; …`). The line
// is kept: the command is in it.
func parseSudo(text string) ([]login, bool) {
	text = strings.TrimLeft(text, " ")
	by, rest, ok := strings.Cut(text, " : ")
	if !ok {
		return parsePamSession(text)
	}
	a := login{Outcome: event.Authentication_SUCCESS, Service: "sudo", Known: true, Method: "by " + by}
	head, _, ok := strings.Cut(rest, " ; ")
	if !ok {
		return nil, true
	}
	if !strings.Contains(head, "=") {
		a.Outcome = event.Authentication_FAILURE
	}
	before, _, _ := strings.Cut(rest, " ; COMMAND=") // the command may hold a second USER=
	if a.User = value(before, " USER="); a.User == "" {
		return nil, true
	}
	return []login{a}, true
}

func parsePamSession(text string) ([]login, bool) {
	facts, keep := parsePam(text)
	if len(facts) == 1 && facts[0].Outcome != 0 {
		return nil, true // sudo's own line follows
	}
	return facts, keep
}
