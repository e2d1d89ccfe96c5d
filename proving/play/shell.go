// SPDX-License-Identifier: Apache-2.0

package play

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall/proving/lab"
)

// shellWait bounds how long an answer of a shell is awaited. Measured: 0.05 s.
const shellWait = 5 * time.Second

// shell is a program on the intruder's host into which lines are typed: ncat that waits for a shell
// to come, or the likes of ssh.
type shell struct {
	process *lab.Process
	stdin   *os.File
	answers *transcript
	typed   int
}

func listen(host *lab.Host, port int) (*shell, error) {
	return open(host, lab.Command{Argv: []string{"ncat", "-n", "-l", "-p", strconv.Itoa(port)}})
}

// open starts a command whose input is typed.
func open(host *lab.Host, c lab.Command) (*shell, error) {
	// A real pipe: with an io.Pipe the end of the program would wait for our next write.
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	s := &shell{stdin: in, answers: &transcript{}}
	c.Stdin, c.Stdout, c.Stderr = out, s.answers, io.Discard
	if s.process, err = host.Start(context.Background(), c); err != nil {
		in.Close()
		return nil, err
	}
	return s, nil
}

// say types a line and returns what came until the shell had finished it.
func (s *shell) say(ctx context.Context, line string) (string, error) {
	s.typed++
	mark := fmt.Sprintf("done-%d", s.typed)
	before := s.answers.len()
	ctx, cancel := context.WithTimeout(ctx, shellWait)
	defer cancel()
	// The mark is split in what is typed, so that only its echo can be met.
	if _, err := io.WriteString(s.stdin, line+"\necho done\"-\""+strconv.Itoa(s.typed)+"\n"); err != nil {
		return "", fmt.Errorf("the shell is gone: %w", err)
	}
	for {
		text := strings.ReplaceAll(s.answers.since(before), "\r\n", "\n") // a terminal's line ends
		if done := strings.Index(text, mark+"\n"); done >= 0 {
			return text[:done], nil
		}
		select {
		case <-ctx.Done():
			return text, fmt.Errorf("the shell did not answer %q: %.200q", line, text)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (s *shell) close() {
	s.stdin.Close()
	s.process.Kill()
}

// maxTranscript bounds what a shell may print at us.
const maxTranscript = 1 << 20

// transcript is a buffer for one writer and one reader at a time.
type transcript struct {
	mu   sync.Mutex // guards text
	text []byte
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := maxTranscript - len(t.text); room > 0 {
		t.text = append(t.text, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

func (t *transcript) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.text)
}

func (t *transcript) since(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text[n:])
}
