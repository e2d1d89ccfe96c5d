// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"strconv"
	"strings"
	"time"
)

// message is one syslog message.
type message struct {
	At     time.Time // zero: the line has no date that can be read
	Tag    string    // program
	Pid    uint32    // 0: not told
	Text   string
	Forged bool // journald attests another sender than the tag names
}

// parseSyslog reads the two formats that rsyslog, syslog-ng and busybox write to files:
// RFC 3164 §4.1 without priority ("Nov 24 10:00:00 host tag[pid]: text", local time, no
// year) and the one with an RFC 3339 date. A line of neither is all text.
func parseSyslog(line string, now time.Time) message {
	at, rest, ok := syslogTime(line, now)
	if !ok {
		return message{Text: line}
	}
	m := message{At: at, Text: rest}
	host, rest, ok := strings.Cut(rest, " ")
	if !ok || host == "" {
		return m
	}
	m.Tag, m.Pid, m.Text = splitTag(rest)
	return m
}

func syslogTime(line string, now time.Time) (at time.Time, rest string, ok bool) {
	if len(line) < 16 {
		return at, "", false
	}
	if line[0] >= '0' && line[0] <= '9' {
		date, rest, _ := strings.Cut(line, " ")
		at, err := time.Parse(time.RFC3339Nano, date)
		return at, rest, err == nil
	}
	at, err := time.ParseInLocation(time.Stamp, line[:15], now.Location())
	if err != nil || line[15] != ' ' {
		return at, "", false
	}
	at = time.Date(now.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, now.Location())
	if at.Sub(now) > 36*time.Hour { // December's line read in January
		at = at.AddDate(-1, 0, 0)
	}
	return at, line[16:], true
}

// splitTag reads "tag[pid]: text", "tag: text" and text without either.
func splitTag(s string) (tag string, pid uint32, text string) {
	head, text, ok := strings.Cut(s, ": ")
	if !ok {
		if head, ok = strings.CutSuffix(s, ":"); !ok {
			return "", 0, s
		}
	}
	if len(head) > 64 || strings.ContainsAny(head, " \t") {
		return "", 0, s
	}
	tag, number, ok := strings.Cut(head, "[")
	if ok {
		n, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32)
		if err != nil {
			return "", 0, s
		}
		pid = uint32(n)
	}
	return tag[strings.LastIndexByte(tag, '/')+1:], pid, text
}

// unitOf is Sigma's word for the program of a tag: sshd, sudo, su, cron, syslog… What
// has no word of its own is syslog, as Sigma's rules on BIND have it.
func unitOf(tag string) string {
	switch t := strings.ToLower(strings.Trim(tag, "()")); t {
	case "sshd", "sshd-session", "sshd-auth":
		return "sshd"
	case "cron", "crond", "crontab", "anacron", "fcron":
		return "cron"
	case "sudo", "su", "vsftpd", "auditd", "login":
		return t
	case "guacd":
		return "guacamole"
	case "clamd", "freshclam":
		return "clamav"
	case "su-l":
		return "su"
	case "audisp-syslog", "audispd", "audit":
		return "auditd"
	case "useradd", "userdel", "usermod", "groupadd", "groupdel", "passwd", "chage", "chpasswd", "systemd-logind", "polkitd", "pkexec":
		return "auth"
	}
	return "syslog"
}

// maxRepeats bounds how often one line makes its event again.
const maxRepeats = 32

// unfold reads rsyslog's "message repeated 5 times: [ text]".
func unfold(text string) (string, int) {
	rest, ok := strings.CutPrefix(text, "message repeated ")
	if !ok {
		return text, 1
	}
	number, rest, ok := strings.Cut(rest, " times: [ ")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 || !strings.HasSuffix(rest, "]") {
		return text, 1
	}
	return rest[:len(rest)-1], min(n, maxRepeats)
}
