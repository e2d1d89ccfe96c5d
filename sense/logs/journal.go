// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// haveJournal: journalctl without a journal would wait for one for ever.
func haveJournal() bool {
	if _, err := exec.LookPath("journalctl"); err != nil {
		return false
	}
	for _, dir := range []string{"/run/log/journal", "/var/log/journal"} {
		if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
			return true
		}
	}
	return false
}

// maxEntry bounds one journal entry as JSON; a longer one is passed over and counted.
const maxEntry = 64 << 10

// journal follows journald through journalctl, which knows every format of the journal,
// until it ends. The cursor makes a restart go on where it stopped.
func (s *Sensor) journal(ctx context.Context) error {
	args := []string{"-o", "json", "-f", "--no-pager", "--quiet",
		"--output-fields=MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_UID,_COMM"}
	if c := s.st.cursor(); c != "" {
		args = append(args, "--after-cursor="+c)
	} else {
		args = append(args, "--lines=0")
	}
	cmd := exec.CommandContext(ctx, "journalctl", args...)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	var complaint tail
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("follow the journal: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("follow the journal: %w", err)
	}
	s.entries(out)
	err = cmd.Wait()
	if strings.Contains(string(complaint.b), "cursor") {
		s.st.setCursor("") // vacuumed away, or of another machine
		s.tellLost("journal", "the journal no longer holds where Ringwall stopped; followed from its end", 0)
	}
	return fmt.Errorf("journalctl ended (%w): %s", orEOF(err), strings.TrimSpace(string(complaint.b)))
}

func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// tail keeps the first bytes of what journalctl complains.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p[:min(len(p), 512-min(512, len(t.b)))]...)
	return len(p), nil
}

// entries reads JSON lines until the stream ends.
func (s *Sensor) entries(r io.Reader) {
	b := bufio.NewReaderSize(r, maxEntry)
	for {
		line, err := b.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			s.bad.Add(1)
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = b.ReadSlice('\n')
			}
			continue
		}
		if len(line) > 0 && err == nil {
			m, cursor, ok := parseEntry(line)
			if !ok {
				s.bad.Add(1)
			} else {
				if m.Text != "" {
					s.message(m, "journal", time.Now())
				}
				s.st.setCursor(cursor)
			}
		}
		if err != nil {
			return
		}
	}
}

// entry is one entry of `journalctl -o json` (systemd.journal-fields(7)). A field that
// was given twice is a list, one that is no text a list of numbers.
type entry struct {
	Cursor  string          `json:"__CURSOR"`
	Micros  string          `json:"__REALTIME_TIMESTAMP"`
	Message json.RawMessage `json:"MESSAGE"`
	Tag     json.RawMessage `json:"SYSLOG_IDENTIFIER"`
	TagPid  json.RawMessage `json:"SYSLOG_PID"`
	Pid     json.RawMessage `json:"_PID"`
	UID     json.RawMessage `json:"_UID"`
	Comm    json.RawMessage `json:"_COMM"`
}

// parseEntry reads one entry. What a process claims (tag, pid) is compared with what
// journald attests of it (_UID, _COMM).
func parseEntry(line []byte) (m message, cursor string, ok bool) {
	var e entry
	if json.Unmarshal(line, &e) != nil || e.Cursor == "" || len(e.Cursor) > 1024 {
		return m, "", false
	}
	if us, err := strconv.ParseInt(e.Micros, 10, 64); err == nil && us > 0 && us < 1<<53 {
		m.At = time.UnixMicro(us)
	}
	m.Tag, m.Text = text(e.Tag), text(e.Message)
	comm := text(e.Comm)
	if m.Tag == "" {
		m.Tag = comm
	}
	pid := text(e.TagPid)
	if pid == "" {
		pid = text(e.Pid)
	}
	if n, err := strconv.ParseUint(pid, 10, 32); err == nil {
		m.Pid = uint32(n)
	}
	if decides(unitOf(m.Tag)) {
		m.Forged = unitOf(comm) != unitOf(m.Tag) || unitOf(m.Tag) == "sshd" && text(e.UID) != "0" && comm != "sshd-auth"
	}
	return m, e.Cursor, true
}

// decides: the units whose lines become Authentication.
func decides(unit string) bool {
	switch unit {
	case "sshd", "su", "sudo", "login", "vsftpd":
		return true
	}
	return false
}

// text is the field's text; of a repeated field the first.
func text(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return clean(strings.TrimRight(s, "\r\n"))
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return ""
	}
	if json.Unmarshal(list[0], &s) == nil {
		return clean(s)
	}
	numbers := make([]byte, 0, len(list))
	for _, r := range list {
		n, err := strconv.ParseUint(string(r), 10, 8)
		if err != nil {
			return ""
		}
		numbers = append(numbers, byte(n))
	}
	return clean(string(numbers))
}
