// SPDX-License-Identifier: Apache-2.0

package proving

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ringwall/ringwall/proving/lab"
)

// stopLimit bounds how long a part may take to end by itself.
const stopLimit = 10 * time.Second

// part is one process of the product.
type part struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	log  *os.File

	mu    sync.Mutex // guards ready and last
	ready bool
	last  []string // its last lines, for error messages
}

// spawn starts a part of the product in a host's network; what it prints goes to a file.
func (j *judged) spawn(name string, host *lab.Host, argv ...string) (*part, error) {
	log, err := os.Create(filepath.Join(j.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	p := &part{name: name, cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{}), log: log}
	p.cmd.Dir = j.dir
	p.cmd.Env = j.environment()
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = in, in
	err = j.aside.Start(host, p.cmd)
	in.Close()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	j.parts = append(j.parts, p)
	go p.read(out)
	return p, nil
}

func (p *part) read(out *os.File) {
	defer close(p.done)
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		p.log.WriteString(line)
		p.mu.Lock()
		p.ready = p.ready || sayReady.MatchString(line)
		if p.last = append(p.last, strings.TrimSpace(line)); len(p.last) > 5 {
			p.last = p.last[1:]
		}
		p.mu.Unlock()
		if err != nil {
			break
		}
	}
	p.cmd.Wait()
	p.log.Close()
	out.Close()
}

// await waits until a part says that it watches.
func (j *judged) await(ctx context.Context, p *part) error {
	for {
		p.mu.Lock()
		ready, last := p.ready, strings.Join(p.last, " | ")
		p.mu.Unlock()
		if ready {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended at its start and said: %s", p.name, last)
		case <-ctx.Done():
			return fmt.Errorf("%s did not say that it is ready within %s; it said: %s", p.name, startLimit, last)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// environment of the product's processes: nothing of the runner's own.
func (j *judged) environment() []string {
	return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + j.dir, "LANG=C.UTF-8"}
}

// stop ends the parts in the reverse of their order and says which had to be killed or had ended
// before.
func (j *judged) stop() []string {
	var odd []string
	for i := len(j.parts) - 1; i >= 0; i-- {
		p := j.parts[i]
		select {
		case <-p.done:
			p.mu.Lock()
			odd = append(odd, fmt.Sprintf("%s had ended before the run did; it said: %s", p.name, strings.Join(p.last, " | ")))
			p.mu.Unlock()
			continue
		default:
		}
		p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(stopLimit):
			odd = append(odd, fmt.Sprintf("%s did not end within %s", p.name, stopLimit))
			p.cmd.Process.Kill()
			<-p.done
		}
	}
	if j.aside != nil {
		j.aside.Close()
	}
	return odd
}
